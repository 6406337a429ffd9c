"""Procedural chest films: what `data/phantom.py` offers is made here.

anatomy, bones, findings  what is in a chest, drawn at random
raster, projection        shapes to thickness, thickness to X-ray shadow
film, picture             exposure, noise, borders; one phantom with its mask
jobs, raw, jsrt           many of them as raw files in the owners' layouts
"""
