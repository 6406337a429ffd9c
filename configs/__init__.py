"""Recipes: base.py makes the defaults, the other files change a few of them."""
