"""Dice at the size of the films: reference masks as they were drawn.

Published figures are often measured at another size than that of the network.
Here each probability is brought back to the size of the raw image, as
`launch.predict` does, and the mask compared with the raw one.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from apppau_jax.datasets import decoding, raw_index, registry
from apppau_jax.datasets.entry import Entry
from apppau_jax.errors import DataError
from apppau_jax.inference import outputs
from apppau_jax.inference.model import Model
from apppau_jax.metrics import masks, statistics

_KEPT = ("dice", "jaccard")


class OwnSize:
  """Compares predictions with raw masks, batch by batch.

  Attributes:
    per_image: Dice and Jaccard index of each image so far; of several masks
      their mean.
  """

  def __init__(self, model: Model, references: Iterator[np.ndarray]):
    """Begins.

    Args:
      model: makes masks of probabilities.
      references: bool `[h, w, k]` of each image, in their order.
    """
    self._model, self._references = model, references
    self.per_image: list[dict[str, float]] = []
    self._counts = np.zeros((0, 4), np.int64)

  def add(self, part: outputs.Outputs) -> None:
    """Measures the images of a batch."""
    for prob, reference in zip(part.prob, self._references):
      found = self._model.binarize(
        outputs.resize_probability(prob, reference.shape[:2])
      )
      counts = np.array(
        [
          masks.counts(found[..., k], reference[..., k])
          for k in range(reference.shape[-1])
        ]
      )
      ratios = [masks.ratios(*map(int, row)) for row in counts]
      self.per_image.append(
        {name: float(np.mean([r[name] for r in ratios])) for name in _KEPT}
      )
      self._counts = counts + (self._counts if len(self._counts) else 0)

  def report(self) -> dict[str, Any]:
    """Returns `segmentation`, with mean and interval, and `pooled`."""
    return {
      "segmentation": statistics.summarise(self.per_image),
      "pooled": masks.pooled(self._counts, self._model.structures),
    }

  def add_to(self, numbers: dict[str, Any]) -> None:
    """Adds the measures to the content of a report.json."""
    numbers["own_size"] = self.report()
    for image, ratios in zip(numbers["per_image"], self.per_image, strict=True):
      image["own_size_dice"] = ratios["dice"]


@contextlib.contextmanager
def measuring(
  model: Model,
  entries: Sequence[Entry],
  *,
  raw_dir: str | os.PathLike[str] | None,
) -> Iterator[OwnSize | None]:
  """Opens the raw files, whose masks are read one after the other.

  Args:
    model: whose predictions are measured.
    entries: the images in the order in which they will be added.
    raw_dir: folder or zip with the raw files of their sets; None for nothing
      to measure.

  Raises:
    DataError: a mask is missing or cannot be used.
  """
  if raw_dir is None:
    yield None
    return
  with contextlib.ExitStack() as stack:
    opened = {}
    for name in sorted({entry.source for entry in entries}):
      spec = registry.spec(name)
      source = stack.enter_context(spec.open(raw_dir))
      spec = spec.of(source) if spec.complete is not None else spec
      found = raw_index.index(source, spec)
      opened[name] = (source, spec, {raw.id: raw for raw in found.examples})

    def read(entry: Entry) -> np.ndarray:
      source, spec, raws = opened[entry.source]
      raw, drawn = raws.get(entry.id), None
      if raw is not None:
        shape = (entry.height, entry.width)
        drawn = decoding.draw_masks(source, raw, spec=spec, shape=shape)
      if drawn is None:
        raise DataError(
          f"The mask of {entry.id} of {entry.source} is not in {raw_dir}. "
          "--raw_dir is the folder that launch.prepare_data read."
        )
      if not model.structures:
        return drawn.mask[..., None]
      names = spec.structure_names
      chosen = [drawn.structures[names.index(n)] for n in model.structures]
      return np.stack(chosen, axis=-1)

    yield OwnSize(model, map(read, entries))
