"""The interface of a semi-supervised method, and what most methods share.

A teacher looks at unlabelled images as they are (weak views). The student
looks at the same images with their intensities and parts changed (strong
views). Both share the geometry, so that the student can be asked, pixel by
pixel, for what the teacher predicts. A method decides who teaches whom, what
the strong views are, and how agreement is measured.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax

# student(image, feature_dropout=None): the output of a network in training mode
# for images `[u, h, w, 1]`; a key drops features, see `models.network`.
Student = Callable[..., Any]
# predict(image, player=name, averaged=flag): the output of a segmentor in
# inference mode, by its averaged or its current weights.
Predict = Callable[..., Any]
# strong_view(key, image, target, labelled=labelled): images and targets.
StrongView = Callable[..., tuple[jax.Array, jax.Array]]
# Images and masks of the labelled rows of the minibatch.
Labelled = tuple[jax.Array, jax.Array]


class Teacher(NamedTuple):
  """A segmentor whose predictions are the targets."""

  player: str
  averaged: bool  # by its averaged weights, or by its current ones


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
  """A semi-supervised method; a subclass defines `teacher_of` and `loss`.

  One whose views are not strong views of a teacher's predictions overrides
  `views` as well.

  Attributes:
    strong_view: draws the strong views, see `strong_views.strong_view`.
  """

  strong_view: StrongView
  # Names of the segmentors that train beside "segmentor". They share its
  # architecture and optimiser and start from parameters of their own.
  players: ClassVar[tuple[str, ...]] = ()

  def teacher_of(self, student: str) -> Teacher:
    """Return who teaches the segmentor `student`."""
    raise NotImplementedError

  def views(
    self,
    key: jax.Array,
    image: jax.Array,
    *,
    labelled: Labelled,
    predict: Predict,
    student: str,
  ) -> Any:
    """Compute what `loss` needs; no gradient passes through it.

    Args:
      key: randomness; the same for every segmentor of the step.
      image: the unlabelled images, weakly augmented.
      labelled: images and masks of the labelled rows.
      predict: applies any segmentor as it was at the start of the step.
      student: the name of the segmentor that will learn.

    Returns:
      The strong views and their targets.
    """
    prob = jax.nn.sigmoid(
      predict(image, **self.teacher_of(student)._asdict()).logits
    )
    return self.strong_view(key, image, prob, labelled=labelled)

  def loss(self, student: Student, views: Any) -> jax.Array:
    """Compute the loss of each image.

    Args:
      student: the network that learns.
      views: as returned by the method `views`.

    Returns:
      `[u]`, one loss an image.
    """
    raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfTaught(Method):
  """A method whose teacher is the student itself.

  Attributes:
    teacher: "averaged": by its averaged weights; or "student": by its own.
  """

  teacher: str = "averaged"

  def teacher_of(self, student: str) -> Teacher:
    """Return the student, by the weights that `teacher` names."""
    return Teacher(player=student, averaged=self.teacher == "averaged")
