"""UniMatch: pseudo-labels for two strong views and for dropped features.

The teacher's confident decisions on the weak view teach the student on two
strong views, drawn independently, and on the weak view itself with half of the
channels of the encoder's outputs set to zero. With L as in `pseudo_label`,

  (L(strong 1) + L(strong 2)) / 4 + L(weak, features dropped) / 2.

There the student is its own teacher; here its averaged weights teach unless
`teacher` is "student". A network without `FEATURE_DROPOUT` drops nothing.

Reference: Yang et al. 2023, arXiv:2208.09910.
"""

import dataclasses
from typing import Any

import jax

from apppau_jax.semi.method import Labelled, Predict, SelfTaught, Student
from apppau_jax.semi.pseudo_label import pseudo_label_loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniMatch(SelfTaught):
  """Pseudo-labels under perturbed images and perturbed features.

  Attributes:
    threshold: of the confidence, in [0.5, 1].
  """

  threshold: float = 0.95

  def views(
    self,
    key: jax.Array,
    image: jax.Array,
    *,
    labelled: Labelled,
    predict: Predict,
    student: str,
  ) -> Any:
    """Return two strong views with targets, the weak one, and a key."""
    keys = jax.random.split(key, 3)
    prob = jax.nn.sigmoid(
      predict(image, **self.teacher_of(student)._asdict()).logits
    )
    strong = [
      self.strong_view(each, image, prob, labelled=labelled)
      for each in keys[:2]
    ]
    return strong, (image, prob), keys[2]

  def loss(self, student: Student, views: Any) -> jax.Array:
    """Compute the weighted sum of the three terms for each image."""
    strong, (weak, prob), key = views

    def term(logits: jax.Array, target: jax.Array) -> jax.Array:
      return pseudo_label_loss(logits, target, threshold=self.threshold)

    first, second = (term(student(x).logits, q) for x, q in strong)
    dropped = student(weak, feature_dropout=key).logits
    return (first + second) / 4 + term(dropped, prob) / 2
