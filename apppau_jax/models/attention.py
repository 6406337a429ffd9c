"""The attention gate, eq. (2)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from apppau_jax.models import blocks


class AttentionGate(nn.Module):
  """Weighs a skip connection by where the coarser decoder map looks.

  Eq. (2) with its misprints mended: sigma_1 is a ReLU, sigma_2 a sigmoid, and
  of the two biases inside one suffices,

      alpha = up2( sigmoid( psi( relu( theta(x) + phi(g) ) ) ) )
      out   = BN( W( alpha * x ) )

  with theta a 2x2 convolution of stride 2 onto the grid of g (no bias), phi
  and psi 1x1 (bias), W 1x1 (no bias: BN, or another `norm`, follows). The grid
  gate of Oktay et al., Attention U-Net, 2018; `inner` defaults to half the
  skip's channels.
  """

  inner: int | None = None
  dtype: jnp.dtype = jnp.float32
  norm: str = "batch"
  convolutions: blocks.Convolutions = blocks.XLA

  @nn.compact
  def __call__(
    self, skip: jax.Array, gating: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Gates a skip connection.

    Args:
      skip: `[b, 2h, 2w, c]` encoder features x.
      gating: `[b, h, w, d]` decoder features g, one level coarser.
      train: whether BatchNorm uses the batch's statistics.

    Returns:
      The gated skip `[b, 2h, 2w, c]` and the attention coefficients alpha
      `[b, 2h, 2w, 1]` in (0, 1), float32.
    """
    width = skip.shape[-1]
    inner = self.inner or max(1, width // 2)
    conv = functools.partial(
      blocks.conv, self.convolutions.conv, dtype=self.dtype
    )
    theta = conv(inner, (2, 2), (2, 2), use_bias=False, name="theta")(skip)
    phi = conv(inner, (1, 1), name="phi")(gating)
    psi = conv(1, (1, 1), name="psi")(nn.relu(theta + phi))
    alpha = blocks.upsample(nn.sigmoid(psi.astype(jnp.float32)))
    out = conv(width, (1, 1), use_bias=False, name="out")(
      alpha.astype(skip.dtype) * skip
    )
    norm = blocks.Norm(self.dtype, self.norm, name="norm")
    return norm(out, train=train), alpha
