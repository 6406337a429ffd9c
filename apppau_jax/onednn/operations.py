"""The one doorway to this package: what a network computes with it."""

from apppau_jax.models import blocks
from apppau_jax.onednn import convolutions, norm, pooling

OPERATIONS = blocks.Operations(
  conv=convolutions.convolution,
  conv_joined=convolutions.joined_convolution,
  up=convolutions.up_convolution,
  norm_relu=norm.norm_relu,
  pool=pooling.max_pool,
)
