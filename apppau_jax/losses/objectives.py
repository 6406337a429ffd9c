"""The objectives of the players: sums of weighted terms, with their names.

  S:  L_S = L_seg + c L_adv                            eq. (3)
      L_seg  eq. (1) on the labelled, L_adv eq. (5) on all   (eq. (4): Tversky)
  D:  L_D = w_class L_class + w_real L_real + w_fake L_fake
            eq. (6)           eq. (7)         eq. (8)
          + w_predicted * class loss on labelled (x, S(x))
          + w_consistency * agreement of classes on unlabelled (x, S(x))

The last two go beyond the paper: at inference D sees predicted masks only,
whose class logits eqs. (6) to (8) never train.

Every function returns the scalar loss and its terms by name, without their
weights, for the log.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from apppau_jax.losses import adversarial, deep_supervision, findings

LossFn = Callable[[jax.Array, jax.Array], jax.Array]
Terms = dict[str, jax.Array]

ADVERSARIAL = {
  "nonsaturating": adversarial.nonsaturating_loss,  # eq. (5)
  "saturating": adversarial.saturating_loss,  # as in Algorithm 1
}
FORMS = (*ADVERSARIAL, "none")  # with "none", S ignores D: there is no term


def masked_mean(values: jax.Array, valid: jax.Array) -> jax.Array:
  """Compute the mean of `values` `[b]` where `valid` `[b]`, else 0."""
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
  """Compute L_seg, eq. (1) over the labelled examples.

  Args:
    side_logits: outputs of S, each `[b, h_i, w_i, k]`, finest last.
    mask: `[b, h, w, k]` in {0, 1}.
    has_mask: `[b]` bool; the others contribute nothing, whatever `mask` holds.
    loss_fn: maps logits and mask `[b, h, w, k]` to one loss an example `[b]`.
    weights: w_i of eq. (1), coarse to fine; None takes 1, 2, 4, ... normalised.
    side_target: how the mask reaches the side resolutions, `hard` or `soft`.

  Returns:
    The loss, and `segmentation`, its value.

  Example:
    >>> import jax.numpy as jnp
    >>> from apppau_jax.losses import cross_entropy_loss
    >>> loss, _ = segmentation_objective(
    ...   [jnp.zeros((2, 4, 4, 1))],
    ...   jnp.ones((2, 4, 4, 1)),
    ...   has_mask=jnp.array([True, False]),
    ...   loss_fn=cross_entropy_loss,
    ... )
    >>> round(float(loss), 4)  # log 2
    0.6931
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


def adversarial_objective(
  fake_logits: jax.Array,
  *,
  has_mask: jax.Array,
  form: str = "nonsaturating",
  weight: float = 0.01,
  unlabelled_weight: float = 0.01,
  multi_label: bool = False,
  ramp: jax.Array | float = 1.0,
) -> tuple[jax.Array, Terms]:
  """Compute the term c L_adv of eq. (3), a mean over all images.

  Args:
    fake_logits: `[b, n + 1]`, D on (x, S(x)).
    has_mask: `[b]` bool, which of the two c applies.
    form: `nonsaturating` (eq. 5) or `saturating` (Algorithm 1).
    weight: c of labelled images.
    unlabelled_weight: c of the others.
    multi_label: see `discriminator_objective`.
    ramp: factor of c, in [0, 1].

  Returns:
    The loss, and `adversarial`, L_adv.

  Raises:
    ValueError: a form that does not exist.
  """
  if form not in ADVERSARIAL:
    raise ValueError(
      f"form is {form!r}; it must be one of {', '.join(ADVERSARIAL)}"
    )
  if multi_label:
    fake_logits = findings.pair_logits(fake_logits)
  each = ADVERSARIAL[form](fake_logits)
  c = jnp.where(has_mask, weight, unlabelled_weight) * ramp
  return jnp.mean(c * each), {"adversarial": jnp.mean(each)}


def discriminator_objective(
  real_logits: jax.Array,
  fake_logits: jax.Array,
  *,
  label: jax.Array,
  has_mask: jax.Array,
  has_label: jax.Array,
  class_weight: float = 1.0,
  real_weight: float = 0.5,
  fake_weight: float = 0.5,
  predicted_weight: float = 0.0,
  conditional: bool = True,
  multi_label: bool = False,
) -> tuple[jax.Array, Terms]:
  """Compute L_D, eqs. (6) to (8).

  The default weights are those of Salimans et al. 2016, arXiv:1606.03498.

  Args:
    real_logits: `[r, n + 1]`, D on (x, y) of the batch's first r examples.
    fake_logits: `[b, n + 1]`, D on (x, S(x)) of all, S held fixed.
    label: int `[b]`, or `[b, n]` for findings.
    has_mask: `[b]` bool; a pair without its mask is not real.
    has_label: `[b]` bool; examples without a label teach no class.
    class_weight: of eq. (6), the class of real pairs.
    real_weight: of eq. (7).
    fake_weight: of eq. (8).
    predicted_weight: of the class of (x, S(x)), beyond the paper.
    conditional: eq. (6) among the n classes; else among all n + 1, as printed.
    multi_label: the n labels are findings, see `losses.findings`.

  Returns:
    The loss; its terms, and the shares of real and of fake pairs that D
    recognises.
  """
  rows = len(real_logits)
  real, labelled = has_mask[:rows], has_label[:rows]
  if multi_label:
    of_real = findings.findings_loss(real_logits, label[:rows])
    of_fake = findings.findings_loss(fake_logits, label)
    real_logits = findings.pair_logits(real_logits)
    fake_logits = findings.pair_logits(fake_logits)
  else:
    of_real = adversarial.class_loss(
      real_logits, label[:rows], conditional=conditional
    )
    of_fake = adversarial.class_loss(fake_logits, label)
  terms = {
    "class": masked_mean(of_real, real & labelled),
    "real": masked_mean(-adversarial.real_log_prob(real_logits), real),
    "fake": jnp.mean(-adversarial.fake_log_prob(fake_logits)),
    "class_predicted": masked_mean(of_fake, has_label),
  }
  loss = (
    class_weight * terms["class"]
    + real_weight * terms["real"]
    + fake_weight * terms["fake"]
    + predicted_weight * terms["class_predicted"]
  )
  fooled = adversarial.real_log_prob(fake_logits) >= jnp.log(0.5)
  missed = adversarial.fake_log_prob(real_logits) > jnp.log(0.5)
  return loss, {
    **terms,
    "real_accuracy": masked_mean(1.0 - missed, real),
    "fake_accuracy": jnp.mean(1.0 - fooled),
  }


def consistency_objective(
  values: jax.Array, *, weight: jax.Array | float
) -> tuple[jax.Array, Terms]:
  """Compute the weighted term of unlabelled images.

  Args:
    values: `[u]`, one loss an image.
    weight: of their mean.

  Returns:
    The loss, and `consistency`, the mean.
  """
  loss = jnp.mean(values)
  return weight * loss, {"consistency": loss}
