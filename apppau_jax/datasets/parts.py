"""The parts of a split, and the file that lists them."""

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping

from apppau_jax import reading
from apppau_jax.errors import DataError

_NAMES = ("train_labelled", "train_unlabelled", "validation", "test")
# Images with a class and without a mask, where a split divides these too.
_CLASS_ONLY = ("validation_classes", "test_classes")
# The content of splits.json, see `reading`.
FORM = {name: [str] for name in _NAMES} | {
  f"{name}?": [str] for name in _CLASS_ONLY
}


@dataclasses.dataclass(frozen=True)
class Parts:
  """The parts of a split, as sorted ids, and the labels used in training.

  Attributes:
    train_labelled: training images whose masks are used.
    train_unlabelled: training images whose masks are not used.
    validation: images for model selection.
    test: images for the final evaluation.
    classes: training images whose class is used.
    validation_classes: images without a mask that validate the diagnosis.
    test_classes: images without a mask on which the diagnosis is tested.
  """

  train_labelled: tuple[str, ...]
  train_unlabelled: tuple[str, ...]
  validation: tuple[str, ...]
  test: tuple[str, ...]
  classes: tuple[str, ...] = ()
  validation_classes: tuple[str, ...] = ()
  test_classes: tuple[str, ...] = ()

  def as_dict(self) -> dict[str, list[str]]:
    """Returns the parts by name, the content of splits.json."""
    more = [name for name in _CLASS_ONLY if getattr(self, name)]
    return {name: list(getattr(self, name)) for name in (*_NAMES, *more)}

  def counts(self) -> str:
    """Returns the sizes in words, such as "135 training, 14 validation ...".

    Example:
      >>> Parts(("a", "b"), ("c",), ("d",), ("e", "f"), classes=("a",)).counts()
      '3 training (2 with masks), 1 validation, 2 test'
    """
    more = f" ({len(self.train_labelled)} with masks)"
    training = len(self.train_labelled) + len(self.train_unlabelled)
    text = (
      f"{training} training{more if self.train_unlabelled else ''}, "
      f"{len(self.validation)} validation, {len(self.test)} test"
    )
    if self.validation_classes or self.test_classes:
      text += (
        f"; and for the classes alone {len(self.validation_classes)} "
        f"validation, {len(self.test_classes)} test"
      )
    return text

  def labels(self) -> dict[str, list[str]]:
    """Returns the training ids whose mask or class is used, by kind."""
    return {"masks": list(self.train_labelled), "classes": list(self.classes)}

  def roles(self) -> dict[str, str]:
    """Returns train, validation or test by id."""
    return {
      image: name.partition("_")[0]
      for name in (*_NAMES, *_CLASS_ONLY)
      for image in getattr(self, name)
    }

  def used_before(self, part: str) -> set[str]:
    """Returns the images that a run used before it was measured on a part.

    Args:
      part: `validation`, measured after training; or `test`, measured after
        model selection as well.
    """
    roles = ("train", "validation") if part == "test" else ("train",)
    return {image for image, role in self.roles().items() if role in roles}

  def check(self, *, groups: Mapping[str, str] | None = None) -> None:
    """Checks that no image and no patient is in two parts.

    Args:
      groups: patient of each id. The two training parts may share a patient.

    Raises:
      DataError: an id twice, or a patient in two of train, validation, test.
    """
    names = (*_NAMES, *_CLASS_ONLY)
    counted = Counter(i for name in names for i in getattr(self, name))
    twice = sorted(name for name, times in counted.items() if times > 1)
    if twice:
      raise DataError(
        f"{len(twice)} ids appear more than once in the split, first "
        f"{twice[0]!r}; each image belongs to one part, once. Remove the "
        "copies from the list."
      )
    first: dict[str, tuple[str, str]] = {}
    for name, role in self.roles().items():
      patient = (groups or {}).get(name, name)
      other, before = first.setdefault(patient, (name, role))
      if before != role:
        raise DataError(
          f"Patient {patient!r} is in two parts of the split: {other} in "
          f"{before}, {name} in {role}. Scores on images of a training "
          "patient are too high; keep a patient's images in one part."
        )


def read_splits(path: str | os.PathLike[str]) -> Parts:
  """Reads the splits.json of a run, or a list of the same form.

  Args:
    path: a JSON file with the keys train_labelled, train_unlabelled,
      validation and test, each a list of ids in any order.

  Raises:
    DataError: no such file, not of this form, or an id twice.
  """
  parts = reading.read_json(
    path,
    FORM,
    advice="A split is a JSON object with the keys "
    f"{', '.join(_NAMES)}, each a list of image ids. A run writes it when it "
    "starts; give the folder of a run, or start one.",
  )
  if more := sorted(parts.keys() - {*_NAMES, *_CLASS_ONLY}):
    raise DataError(
      f"{path} is not a split: it must hold the keys {', '.join(_NAMES)} and "
      f"nothing else, and has {', '.join(map(repr, more[:5]))}."
    )
  split = Parts(**{part: tuple(sorted(ids)) for part, ids in parts.items()})
  split.check()
  return split
