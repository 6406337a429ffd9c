"""The base class of the networks S and D, and the output of a segmentor.

`Network.init` draws the initial parameters that training starts from.
"""

import itertools
import math
from typing import Any

import chex
import flax.linen as nn
import jax

# Name of the random key with which a segmentor in training sets half of the
# channels of its encoder's outputs to zero; without the key it drops nothing.
FEATURE_DROPOUT = "feature_dropout"
# Standard deviation of a normal that is truncated at 2 of its own.
_TRUNCATED_SD = 0.87962566103423978


class Network(nn.Module):
  """A module whose `init` draws all convolution kernels in one program.

  Drawing them together compiles in a quarter of the time that one program per
  kernel takes. As a submodule of another module, a network is initialised by
  that module.
  """

  @nn.nowrap
  def init(self, rngs: Any, *args: Any, **options: Any) -> dict[str, Any]:
    """Initialise like `flax.linen.Module.init`.

    Args:
      rngs: A key, or a mapping with a key `params`.
      *args: Inputs of the right shapes; their values do not matter.
      **options: Keyword arguments of `__call__` and of `Module.init`.

    Returns:
      The collections by name, `params` and perhaps `batch_stats`.
    """
    rngs = rngs if isinstance(rngs, dict) else {"params": rngs}
    key, kernels_key = jax.random.split(rngs["params"])
    _, variables = super().init_with_output(
      {**rngs, "params": key}, *args, **options
    )
    params = draw_kernels(variables["params"], key=kernels_key)
    return {**variables, "params": params}

  @nn.nowrap
  def init_with_output(
    self, rngs: Any, *args: Any, **options: Any
  ) -> tuple[Any, dict[str, Any]]:
    """Return the output under the initial parameters, and the parameters."""
    variables = self.init(rngs, *args, **options)
    output, _ = self.apply(variables, *args, rngs=rngs, mutable=True, **options)
    return output, variables


@chex.dataclass(frozen=True, mappable_dataclass=False)
class SegmentorOutput:
  """The output of a segmentor for a batch; all float32.

  Attributes:
    logits: `[b, h, w, k]`, before the sigmoid; the finest side output.
    side_logits: Each `[b, h/2^i, w/2^i, k]`, coarse to fine, finest last;
      a single entry without `progressive`.
    attention: Coefficients in (0, 1) by stage ("D4" .. "D1"), each
      `[b, h_i, w_i, 1]` at that stage's size; empty without `attention`.
    samples: In inference, probabilities `[b, h, w, k]` of each view and member
      of which `logits` is the mean; empty if there is one only.
  """

  logits: jax.Array
  side_logits: tuple[jax.Array, ...]
  attention: dict[str, jax.Array]
  samples: tuple[jax.Array, ...] = ()


def draw_kernels(params: Any, *, key: jax.Array) -> Any:
  """Redraw the kernels of all convolutions in one draw.

  The distribution is that of `blocks.Layers.conv`, He et al. 2015, truncated at
  two standard deviations.

  Args:
    params: The parameters of a network, nested mappings.
    key: Random key of the draw.

  Returns:
    The same tree; leaves other than a `kernel` of four axes are unchanged.
  """
  flat, tree = jax.tree_util.tree_flatten_with_path(params)
  redrawn = [p[-1].key == "kernel" and leaf.ndim == 4 for p, leaf in flat]
  sizes = [leaf.size * new for (_, leaf), new in zip(flat, redrawn)]
  pool = jax.random.truncated_normal(key, -2.0, 2.0, (sum(sizes),))
  leaves = []
  for (_, leaf), new, end in zip(flat, redrawn, itertools.accumulate(sizes)):
    if new:
      fan_in = math.prod(leaf.shape[:-1])
      sd = math.sqrt(2.0 / fan_in) / _TRUNCATED_SD
      leaf = sd * pool[end - leaf.size : end].reshape(leaf.shape)
    leaves.append(leaf)
  return jax.tree_util.tree_unflatten(tree, leaves)
