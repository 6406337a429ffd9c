"""The description of one contender of a comparison, and its unit of work."""

import dataclasses
from collections.abc import Callable

# Executes that many steps (or calls), then waits for their results.
Turn = Callable[[int], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
  """The work of one turn.

  Attributes:
    work: `step` or `predict`.
    by: `ours` or `torch`.
    net: `unet`, `attention_unet`, `ppau_unet` or `appau`, the two players.
    width: Base width.
    batch: Images per step, or per call of predict.
    resolution: Pixels per side.
    steps: Steps (calls) per turn, dispatched without waiting for each.
    per_call: Steps that ours executes in one call; divides `steps`.
    augment: Whether ours augments like the lung recipe.
    dtype: `float32` or `bfloat16` (for torch: automatic mixed precision).
    channels_last: Whether torch uses this memory format.
    compiled: Whether and how torch compiles; "graphs" adds CUDA graphs.
    cores: Number of processor cores to use, 0 for all.
    seeds: Runs whose steps ours makes side by side in one program.
    xla_flags: Flags of XLA for ours, besides those of the environment.
  """

  work: str
  by: str
  net: str
  width: int
  batch: int
  resolution: int
  steps: int = 1
  per_call: int = 1
  augment: bool = False
  dtype: str = "float32"
  channels_last: bool = False
  compiled: str = ""
  cores: int = 0
  seeds: int = 1
  xla_flags: str = ""
