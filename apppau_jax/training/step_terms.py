"""The parts of a training step: losses, players and the types of both."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import optax

from apppau_jax import semi
from apppau_jax.batch import Batch

Metrics = dict[str, jax.Array]
Term = tuple[jax.Array, Metrics]  # a weighted loss, and its parts for the log
Objective = Callable[..., Term]  # one of `losses.objectives`, its options set
Prepare = Callable[[jax.Array, Batch], Batch]
Weight = Callable[[jax.Array], jax.Array]  # of a term, by step


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassConsistency:
  """What D learns about the classes of unlabelled pairs; beyond the paper.

  Attributes:
    strong_view: maps a key and images `[u, h, w, 1]` to their strong views.
    weight: of the term.
    loss: maps the logits of D and those of its teacher, `[u, n + 1]`, to one
      loss an image.
  """

  strong_view: Callable[[jax.Array, jax.Array], jax.Array]
  weight: Weight
  loss: Callable[[jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discriminator:
  """The discriminator D and its place in the game.

  Attributes:
    module: the network.
    optimizer: its optimiser.
    objective: L_D, `losses.objectives.discriminator_objective`.
    adversarial: c L_adv in the loss of S,
      `losses.objectives.adversarial_objective`; None trains D beside S
      without any effect on S.
    adversarial_ramp: factor of c, by step.
    mask_smoothing: of the real masks, see `losses.adversarial.smooth_mask`.
    class_consistency: None without.
  """

  module: nn.Module
  optimizer: optax.GradientTransformation
  objective: Objective
  adversarial: Objective | None
  adversarial_ramp: Weight
  mask_smoothing: float = 0.0
  class_consistency: ClassConsistency | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemiSupervision:
  """A semi-supervised method and the weight of its term.

  Attributes:
    method: one of `semi.METHODS`.
    weight: of its term, by step.
  """

  method: semi.Method
  weight: Weight
