"""A trained model, from an image to its mask and class probabilities."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from scipy import special

from apppau_jax.datasets.examples import Source
from apppau_jax.imaging import remarks
from apppau_jax.inference import (
  ensemble,
  measurements,
  outputs,
  quality,
)
from apppau_jax.inference.image_input import Image, NetworkInput, network_input
from apppau_jax.inference.member import Member
from apppau_jax.inference.outputs import Outputs, Prediction
from apppau_jax.metrics import classification
from apppau_jax.models.segmentor import SegmentorOutput
from apppau_jax.training import parallel
from apppau_jax.training.state import parameter_count

_SAMPLED = 512  # longer side at which the masks of members and views are made


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model:
  """One trained run, or several as an ensemble, ready to predict.

  An ensemble averages its members' probabilities. Every field but the first
  two can be changed with `dataclasses.replace`.

  Attributes:
    members: the networks, one or more.
    resolution: side in pixels of what the networks see; an image of any size
      is resampled to it, and its probabilities back.
    bits: of the grey levels that the networks see, 8 or 16.
    structures: names of the k masks; empty for one mask of both lungs.
    class_names: the n classes; empty without a classifier.
    multi_label: whether these are findings, of which an image may have any
      number.
    threshold: inside where the probability is at least this.
    largest_components: connected components that are kept of each mask; 0
      keeps all.
    united: positions of those of the networks' masks whose union is the one
      mask of this model; empty keeps each, see `lungs_only`.
    batch_size: images that are computed at a time.
    mesh: devices over which batches are split; None for JAX's default device.

  Example:
    >>> import jax, numpy as np
    >>> from apppau_jax.inference.member import Member
    >>> from apppau_jax.inference.model import Model
    >>> from apppau_jax.models.segmentor import Segmentor
    >>> network = Segmentor(base_width=2, depth=1)
    >>> blank = np.zeros((1, 32, 32, 1), np.float32)
    >>> init = jax.jit(lambda key: network.init(key, blank, train=False))
    >>> variables = init(jax.random.key(0))
    >>> model = Model([Member(network, variables)], resolution=32)
    >>> radiograph = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80)
    >>> found = model.predict(radiograph)
    >>> found.mask.shape, found.mask.dtype.name, found.probability.dtype.name
    ((60, 80), 'bool', 'float32')
    >>> len(model.predict([radiograph, radiograph.T]))
    2
  """

  members: Sequence[Member]
  _: dataclasses.KW_ONLY
  resolution: int
  bits: int = 8
  structures: tuple[str, ...] = ()
  class_names: tuple[str, ...] = ()
  multi_label: bool = False
  threshold: float = 0.5
  largest_components: int = 0
  united: tuple[int, ...] = ()
  batch_size: int = 16
  mesh: parallel.Mesh | None = None

  def __post_init__(self):
    if not self.members:
      raise ValueError("a model needs at least one member")
    if self.class_names and any(m.discriminator is None for m in self.members):
      raise ValueError("class_names need a discriminator in every member")

  def __repr__(self) -> str:
    count = sum(parameter_count(m.variables["params"]) for m in self.members)
    return (
      f"Model({len(self.members)} x {type(self.members[0].segmentor).__name__},"
      f" {count:,} parameters, resolution={self.resolution},"
      f" structures={self.structures}, class_names={self.class_names})"
    )

  @property
  def has_samples(self) -> bool:
    """Whether several members or views are averaged, so that they differ."""
    return len(self.members) > 1 or any(m.views for m in self.members)

  @overload
  def predict(
    self, image: Image, *, batch_size: int | None = None
  ) -> Prediction: ...

  @overload
  def predict(
    self, image: Sequence[Image], *, batch_size: int | None = None
  ) -> list[Prediction]: ...

  def predict(
    self, image: Image | Sequence[Image], *, batch_size: int | None = None
  ) -> Prediction | list[Prediction]:
    """Segments and classifies an image, or each of a list.

    Args:
      image: the path of a PNG, JPEG, TIFF, GIF, BMP or DICOM file; or an array
        `[h, w]` of grey levels, see `image_input.film_of`; or a list of these.
      batch_size: images at a time; by default the model's, or their number
        where that is less.

    Returns:
      A prediction at the image's own size; of a list a list, in its order.

    Raises:
      DataError: a file that cannot be read, or an image of one grey level.
      ValueError: an array that is not an image.
    """
    images = image if isinstance(image, list | tuple) else [image]
    size = max(1, min(batch_size or self.batch_size, len(images)))
    found: list[Prediction] = []
    for start in range(0, len(images), size):
      inputs = [self.read(item) for item in images[start : start + size]]
      found += self.predict_inputs(inputs, batch_size=size)
    return found if images is image else found[0]

  def read(self, image: Image) -> NetworkInput:
    """Reads one image at the networks' resolution, see `predict`."""
    return network_input(image, resolution=self.resolution, bits=self.bits)

  def predict_inputs(
    self, inputs: Sequence[NetworkInput], *, batch_size: int
  ) -> Iterator[Prediction]:
    """Yields the prediction of each of at most `batch_size` inputs.

    Only one of them is in memory at its own size at a time.
    """
    (rows, _), *_ = outputs.padded_batches(len(inputs), size=batch_size)
    levels = np.stack([one.levels for one in inputs])[rows][..., None]
    output = self.segment(levels)
    probs = special.expit(np.asarray(output.logits))
    samples = [*map(np.asarray, output.samples)]
    classes = ranges = [None] * len(inputs)
    if self.class_names:
      each = self._classified(levels, probs)
      classes = self.class_probabilities(self._mean_classified(each))
      if len(each) > 1:
        ranges = ensemble.class_range(each, **self._calibration)
    for i, (one, prob) in enumerate(zip(inputs, probs)):
      estimates = quality.estimate(
        prob, self.binarize(prob), structures=self.structures
      )
      prob = outputs.resize_probability(prob, one.size)
      prob = prob if self.structures else prob[..., 0]
      mask = self.binarize(prob)
      found = measurements.both_lungs(mask, self.structures)
      of_lungs = () if found is None else remarks.on_lungs(one.levels, found)
      yield Prediction(
        mask=mask,
        probability=prob,
        structures=self.structures,
        classes=self.class_names,
        class_probability=classes[i],
        class_range=ranges[i],
        remarks=(*one.remarks, *of_lungs, *quality.remarks(estimates)),
        spacing=one.spacing,
        measurements=measurements.measure_all(
          mask,
          [self._sampled(sample[i], one.size) for sample in samples],
          structures=self.structures,
          spacing=one.spacing,
        ),
        quality=estimates,
      )

  def batches(
    self, source: Source, *, oracle: bool = False
  ) -> Iterator[Outputs]:
    """Yields the networks' outputs for a data set's images, in their order.

    No more than a batch is in memory.

    Args:
      source: opened images with their masks.
      oracle: whether to classify the images with their reference masks too.
    """
    size = self.batch_size
    padded = [*outputs.padded_batches(len(source.ids), size=size)]
    parts = source.batches([rows for rows, _ in padded])
    for (_, count), part in zip(padded, parts):
      probs = self._probabilities(part.image)
      logits = oracle_logits = np.empty((size, 0))
      if self.class_names:
        logits = self.classify(part.image, probs)
        if oracle:
          oracle_logits = self.classify(part.image, part.mask)
      prob = probs[:count]
      yield Outputs(
        image=part.image[:count],
        mask=part.mask[:count].astype(bool),
        prob=prob,
        prediction=np.stack([self.binarize(p) for p in prob]),
        logits=logits[:count],
        oracle_logits=oracle_logits[:count],
      )

  def segment(self, image: np.ndarray) -> SegmentorOutput:
    """The segmentor's outputs for a batch, compiled once for each b.

    Args:
      image: `[b, r, r, 1]` uint8 or uint16, r the resolution.
    """
    found = [m.segment(image, mesh=self.mesh) for m in self.members]
    one = found[0] if len(found) == 1 else ensemble.mean_segmentation(found)
    return outputs.united(one, self.united) if self.united else one

  def alone(self) -> "list[Model]":
    """Returns a model of each member."""
    return [dataclasses.replace(self, members=[one]) for one in self.members]

  def lungs_only(self) -> "Model":
    """Returns a model with one mask of both lungs, and without classes.

    Raises:
      ValueError: the two lungs are not among the structures.
    """
    if not self.structures:
      return self
    lungs = (measurements.LEFT, measurements.RIGHT)
    if not {*lungs} <= {*self.structures}:
      raise ValueError(f"the structures {self.structures} lack a lung")
    return dataclasses.replace(
      self,
      united=tuple(map(self.structures.index, lungs)),
      largest_components=len(lungs) * self.largest_components,
      structures=(),
      class_names=(),
    )

  def classify(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The discriminator's logits `[b, n + 1]` float32, the fake class last.

    Args:
      image: as in `segment`.
      mask: `[b, r, r, k]` in [0, 1], probabilities or the reference; the
        members of an ensemble are all shown the same one.
    """
    return self._mean_classified(self._classified(image, mask))

  def class_probabilities(self, logits: np.ndarray) -> np.ndarray:
    """Calibrated probabilities `[b, n]` of the logits of `classify`."""
    alone = len(self.members) == 1  # else `classify` applied each member's
    temperature = self.members[0].temperature if alone else 1.0
    return classification.posterior(
      logits, temperature=temperature, multi_label=self.multi_label
    )

  def binarize(self, prob: np.ndarray) -> np.ndarray:
    """The masks of one image's probabilities `[h, w]` or `[h, w, k]`."""
    return outputs.binarize(
      prob,
      threshold=self.threshold,
      largest_components=self.largest_components,
    )

  def _classified(self, image, mask) -> list[np.ndarray]:
    """The logits of every member's discriminator."""
    mask = mask.astype(np.float32)
    found = [m.classify(image, mask, mesh=self.mesh) for m in self.members]
    return [*map(np.asarray, found)]

  def _mean_classified(self, each: list[np.ndarray]) -> np.ndarray:
    one = each[0]
    if len(each) > 1:
      one = ensemble.mean_classification(each, **self._calibration)
    return np.asarray(one, np.float32)

  @property
  def _calibration(self) -> dict[str, Any]:
    temperatures = [m.temperature for m in self.members]
    return {"temperatures": temperatures, "multi_label": self.multi_label}

  def _sampled(self, prob: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The masks of one member or view, at most `_SAMPLED` pixels a side."""
    small = outputs.shrunk(size, side=_SAMPLED)
    mask = self.binarize(outputs.resize_probability(prob, small))
    return mask if self.structures else mask[..., 0]

  def _probabilities(self, image: np.ndarray) -> np.ndarray:
    return special.expit(np.asarray(self.segment(image).logits))
