"""The attention gate, eq. (2)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from apppau_jax.models import blocks


class AttentionGate(nn.Module):
  """Weighs a skip connection by the coarser decoder features.

  Eq. (2) of arXiv:1908.03693 with its misprints corrected: sigma_1 is a ReLU,
  sigma_2 a sigmoid, and one of the two inner biases is redundant:

      alpha = up2( sigmoid( psi( relu( theta(x) + phi(g) ) ) ) )
      out   = BN( W( alpha * x ) )

  theta is a 2x2 convolution of stride 2 to the resolution of g (no bias), phi
  and psi are 1x1 (bias), W is 1x1 (no bias, because a normalisation follows).
  theta and phi have half the skip's channels. This is the grid gate of Oktay et
  al. 2018, Attention U-Net, arXiv:1804.03999.
  """

  layers: blocks.Layers = blocks.Layers()

  @nn.compact
  def __call__(
    self, skip: jax.Array, gating: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Gate a skip connection.

    Args:
      skip: `[b, 2h, 2w, c]` encoder features x.
      gating: `[b, h, w, d]` decoder features g, one level coarser.
      train: Whether BatchNorm uses the batch's statistics.

    Returns:
      The gated skip `[b, 2h, 2w, c]` and the attention coefficients alpha
      `[b, 2h, 2w, 1]` in (0, 1), float32.
    """
    width = skip.shape[-1]
    inner, conv = max(1, width // 2), self.layers.conv
    theta = conv(inner, (2, 2), (2, 2), use_bias=False, name="theta")(skip)
    phi = conv(inner, (1, 1), name="phi")(gating)
    psi = conv(1, (1, 1), name="psi")(nn.relu(theta + phi))
    alpha = blocks.upsample(nn.sigmoid(psi.astype(jnp.float32)))
    gated = alpha.astype(skip.dtype) * skip
    out = conv(width, (1, 1), use_bias=False, name="out")(gated)
    return self.layers.norm(name="norm")(out, train=train), alpha
