"""Trained models applied to images: masks, class probabilities, overlays."""

from apppau_jax.inference.member import Member
from apppau_jax.inference.model import Model
from apppau_jax.inference.outputs import Prediction

__all__ = ["Member", "Model", "Prediction"]
