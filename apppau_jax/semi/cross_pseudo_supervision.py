"""Cross pseudo supervision: two segmentors learn each other's decisions.

Both have one architecture and different initial parameters. With p_a and p_b
their probabilities, each descends its supervised loss plus

  a:  mean over pixels of XE(p_a, p_b >= 1/2)
  b:  mean over pixels of XE(p_b, p_a >= 1/2)

Pseudo-labels are hard, of every pixel, and pass no gradient. They come from
the weak views, by each network's weights at the start of the step and its
running statistics; the students see the strong views, both the same ones, as in
the paper's combination with CutMix. With all of `config.consistency`'s gamma,
contrast, brightness, noise and cutmix at 0 the views are equal: the paper's
plain form. The term is of the unlabelled images, as in SSL4MIS
(github.com/HiLab-git/SSL4MIS), the paper's of labelled ones too.

Only "segmentor" (a) is validated and used for prediction.

Reference: Chen et al. 2021, arXiv:2106.01226.
"""

import dataclasses
from typing import Any, ClassVar

import jax

from apppau_jax.semi.method import Method, Student, Teacher
from apppau_jax.semi.pseudo_label import pseudo_label_loss

_OTHER = {"segmentor": "segmentor_b", "segmentor_b": "segmentor"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossPseudoSupervision(Method):
  """Cross-entropy with the decisions of the other segmentor."""

  players: ClassVar[tuple[str, ...]] = ("segmentor_b",)

  def teacher_of(self, student: str) -> Teacher:
    """Return the other segmentor, by its current weights."""
    return Teacher(player=_OTHER[student], averaged=False)

  def loss(self, student: Student, views: Any) -> jax.Array:
    """Compute the cross-entropy of each strong view, at every pixel."""
    image, target = views
    return pseudo_label_loss(student(image).logits, target, threshold=0.5)
