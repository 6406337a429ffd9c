"""What a step is made of besides its networks: terms, and who asks for them."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import optax

from apppau_jax.batch import Batch
from apppau_jax.losses import adversarial
from apppau_jax.models.discriminator import DiscriminatorOutput
from apppau_jax.models.segmentor import SegmentorOutput

Metrics = dict[str, jax.Array]
Term = tuple[jax.Array, Metrics]  # a weighted loss, and what it is made of
Prepare = Callable[[jax.Array, Batch], Batch]
Objective = Callable[[SegmentorOutput, Batch], Term]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassConsistency:
  """What D learns about classes from pairs whose mask nobody drew.

  Attributes:
    disturb: maps a key and images `[u, h, w, 1]` to their strong views.
    objective: maps the student's logits `[u, n+1]` on those with S's masks, the
      teacher's `[u, n+1]` on the weak views (D's averaged weights, without
      dropout) and the step to the term.
  """

  disturb: Callable[[jax.Array, jax.Array], jax.Array]
  objective: Callable[[jax.Array, jax.Array, jax.Array], Term]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversary:
  """D in training, and what S makes of its opinion.

  Attributes:
    module: the network D.
    optimizer: D's.
    labelled: rows of a minibatch, from the first, whose true mask D sees.
    mask_smoothing: of those masks, see `adversarial.smooth_mask`.
    objective: maps D's logits on real `[r, n+1]` and predicted `[b, n+1]`
      pairs, and the batch, to L_D.
    against: maps D's outputs on predicted and real pairs, the batch and the
      step to S's term c L_adv; None trains D beside S, not against it.
    agree: D's own term of unlabelled images; None for nothing.
  """

  module: nn.Module
  optimizer: optax.GradientTransformation
  labelled: int
  mask_smoothing: float
  objective: Callable[[jax.Array, jax.Array, Batch], Term]
  against: (
    Callable[[DiscriminatorOutput, DiscriminatorOutput, Batch, jax.Array], Term]
    | None
  )
  agree: ClassConsistency | None = None

  def real(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """The real pairs of a prepared batch: images and masks of `labelled`."""
    mask = adversarial.smooth_mask(
      batch.mask[: self.labelled], smoothing=self.mask_smoothing
    )
    return batch.image[: self.labelled], mask

  def part(self, count: int) -> "Adversary":
    """The same of one of `count` parts of a minibatch."""
    return dataclasses.replace(self, labelled=self.labelled // count)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Consistency:
  """What S learns from its own view of unlabelled images.

  The strong views pass through S by themselves, normalised by statistics of
  their own that leave no trace: S is used with those of images as they are, of
  the labelled rows or, where D is asked about all, of the whole minibatch.

  Attributes:
    labelled: rows of a minibatch that have masks; the term is of the others.
    averaged_teacher: whether the averaged weights teach, or S itself.
    disturb: maps a key, images `[u, h, w, 1]`, the teacher's probabilities
      `[u, h, w, k]` and the labelled images and masks to the strong views and
      what is true of them.
    objective: maps the student's logits on those, the probabilities and the
      step to the term.
  """

  labelled: int
  averaged_teacher: bool
  disturb: Callable[
    [jax.Array, jax.Array, jax.Array, tuple[jax.Array, jax.Array]],
    tuple[jax.Array, jax.Array],
  ]
  objective: Callable[[jax.Array, jax.Array, jax.Array], Term]
