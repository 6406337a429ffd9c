"""What the two players minimise, side by side: their terms, by name.

  S:  L_S = L_seg + c L_adv                            eq. (3)
      L_seg  eq. (1) on the labelled, L_adv eq. (5) on all   (eq. (4): Tversky)
  D:  L_D = w_class L_class + w_real L_real + w_fake L_fake
            eq. (6)           eq. (7)         eq. (8)
          + w_predicted * class loss on labelled (x, S(x))
          + w_consistency * agreement of classes on unlabelled (x, S(x))

The last two are not the paper's: at inference D sees predicted masks only,
whose class logits eqs. (6) to (8) never train.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from apppau_jax.errors import ConfigError
from apppau_jax.losses import adversarial, deep_supervision

LossFn = Callable[[jax.Array, jax.Array], jax.Array]
Terms = dict[str, jax.Array]

ADVERSARIAL = {
  "nonsaturating": adversarial.nonsaturating_loss,  # eq. (5)
  "saturating": adversarial.saturating_loss,  # as in Algorithm 1
}
FORMS = ("nonsaturating", "saturating", "feature_matching", "none")


def masked_mean(values: jax.Array, valid: jax.Array) -> jax.Array:
  """Mean of `values` `[b]` where `valid` `[b]`; 0 where nothing is valid."""
  count = jnp.sum(valid.astype(values.dtype))
  return jnp.sum(jnp.where(valid, values, 0.0)) / jnp.maximum(count, 1.0)


def segmentation_objective(
  side_logits: Sequence[jax.Array],
  mask: jax.Array,
  *,
  has_mask: jax.Array,
  loss_fn: LossFn,
  weights: Sequence[float] | None = None,
  side_target: str = "hard",
) -> tuple[jax.Array, Terms]:
  """L_seg: eq. (1) over the labelled examples.

  Args:
    side_logits: S's outputs, each `[b, h_i, w_i, k]`, finest last.
    mask: `[b, h, w, k]` in {0, 1}.
    has_mask: `[b]` bool; the others contribute nothing, whatever `mask` holds.
    loss_fn: maps logits and mask `[b, h, w, k]` to one loss an example `[b]`.
    weights: w_i of eq. (1), coarse to fine; None takes 1, 2, 4, ... normalised.
    side_target: how the mask reaches the side resolutions, `hard` or `soft`.

  Returns:
    The scalar loss and its terms by name.
  """
  per_example = deep_supervision.deep_supervision_loss(
    side_logits,
    mask,
    loss_fn=loss_fn,
    weights=weights,
    side_target=side_target,
  )
  loss = masked_mean(per_example, has_mask)
  return loss, {"segmentation": loss}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversarial:
  """How D's opinion enters S's loss, eqs. (3) and (5).

  Attributes:
    form: `nonsaturating` (eq. 5), `saturating` (Algorithm 1),
      `feature_matching` (Salimans et al. 2016), or `none`.
    weight: c on labelled images.
    unlabelled_weight: c on the others.

  Raises:
    ConfigError: a form that does not exist.
  """

  form: str = "nonsaturating"
  weight: float = 0.01
  unlabelled_weight: float = 0.01

  def __post_init__(self) -> None:
    if self.form not in FORMS:
      raise ConfigError(
        f"adversarial.form is {self.form!r}; it must be one of "
        f"{', '.join(FORMS)}."
      )


def adversarial_objective(
  fake_logits: jax.Array,
  *,
  has_mask: jax.Array,
  spec: Adversarial,
  fake_features: jax.Array,
  real_features: jax.Array,
  ramp: jax.Array | float = 1.0,
) -> tuple[jax.Array, Terms]:
  """The term c L_adv of eq. (3): a mean over all images, labelled or not.

  Args:
    fake_logits: `[b, n + 1]`, D on (x, S(x)).
    has_mask: `[b]` bool, which c applies.
    spec: form and weights.
    fake_features: `[b, c]`, D's features of the same pairs.
    real_features: `[r, c]`, of real pairs.
    ramp: factor of c, in [0, 1].

  Returns:
    The weighted scalar, and the term without its weight.
  """
  if spec.form == "none":
    return jnp.zeros(()), {}
  if spec.form == "feature_matching":
    each = jnp.broadcast_to(
      adversarial.feature_matching_loss(fake_features, real_features),
      has_mask.shape,
    )
  elif spec.form == "saturating":
    each = adversarial.saturating_loss(fake_logits)
  else:
    each = adversarial.nonsaturating_loss(fake_logits)
  c = jnp.where(has_mask, spec.weight, spec.unlabelled_weight) * ramp
  return jnp.mean(c * each), {"adversarial": jnp.mean(each)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscriminatorWeights:
  """The terms of L_D; the defaults follow Salimans et al. 2016.

  Attributes:
    class_weight: of eq. (6), the class of real pairs.
    real_weight: of eq. (7).
    fake_weight: of eq. (8).
    predicted_weight: of the class of (x, S(x)), beyond the paper.
    conditional: eq. (6) among the n classes, not the n + 1 as printed.
  """

  class_weight: float = 1.0
  real_weight: float = 0.5
  fake_weight: float = 0.5
  predicted_weight: float = 0.0
  conditional: bool = True


def discriminator_objective(
  real_logits: jax.Array,
  fake_logits: jax.Array,
  *,
  label: jax.Array,
  has_mask: jax.Array,
  has_label: jax.Array,
  weights: DiscriminatorWeights,
) -> tuple[jax.Array, Terms]:
  """L_D, eqs. (6) to (8).

  Args:
    real_logits: `[r, n + 1]`, D on (x, y) of the batch's first r examples.
    fake_logits: `[b, n + 1]`, D on (x, S(x)) of all, S held fixed.
    label: int `[b]`.
    has_mask: `[b]` bool; a pair without its mask is not real.
    has_label: `[b]` bool; unknown classes teach nothing.
    weights: of the terms.

  Returns:
    The scalar loss; its terms without their weights, and the shares of real
    and of fake pairs that D recognises.
  """
  rows = len(real_logits)
  real, known = has_mask[:rows], has_label[:rows]
  terms = {
    "class": masked_mean(
      adversarial.class_loss(
        real_logits, label[:rows], conditional=weights.conditional
      ),
      real & known,
    ),
    "real": masked_mean(-adversarial.real_log_prob(real_logits), real),
    "fake": jnp.mean(-adversarial.fake_log_prob(fake_logits)),
    "class_predicted": masked_mean(
      adversarial.class_loss(fake_logits, label), has_label
    ),
  }
  loss = (
    weights.class_weight * terms["class"]
    + weights.real_weight * terms["real"]
    + weights.fake_weight * terms["fake"]
    + weights.predicted_weight * terms["class_predicted"]
  )
  fooled = adversarial.real_log_prob(fake_logits) >= jnp.log(0.5)
  missed = adversarial.fake_log_prob(real_logits) > jnp.log(0.5)
  return loss, {
    **terms,
    "real_accuracy": masked_mean(1.0 - missed, real),
    "fake_accuracy": jnp.mean(1.0 - fooled),
  }


def consistency_objective(
  logits: jax.Array,
  teacher: jax.Array,
  *,
  loss_fn: LossFn,
  weight: float,
  ramp: jax.Array | float = 1.0,
) -> tuple[jax.Array, Terms]:
  """An unlabelled term of `losses/consistency.py`, weighed.

  Args:
    logits: `[u, ...]`, the student's on the strong views.
    teacher: `[u, ...]`, the teacher's opinion of the weak ones.
    loss_fn: maps both to `[u]`.
    weight: of the term once the ramp is up.
    ramp: in [0, 1].

  Returns:
    The weighted scalar, and the term without its weight.
  """
  loss = jnp.mean(loss_fn(logits, teacher))
  return weight * ramp * loss, {"consistency": loss}
