"""Trained models applied to images: masks, class probabilities, overlays."""
