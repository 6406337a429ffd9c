"""Prepared data, splits and batches as a configuration states them."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from apppau_jax.batch import Batch
from apppau_jax.datasets import label_budget, registry
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.examples import Source
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import DataError
from apppau_jax.experiment import networks
from apppau_jax.experiment.networks import Config
from apppau_jax.training import step_terms
from apppau_jax.transforms import augment
from apppau_jax.transforms import normalize as normalize_lib

_SPLIT_KEYS = (
  *("split_seed", "label_fraction", "label_count", "label_seed"),
  "labelled_ids",
  *("class_fraction", "class_count", "structures", "unmasked_images"),
  "classes_without_masks",
)


def normalize(config: Config) -> Callable[[jax.Array], jax.Array]:
  """Returns the map from grey levels to the input of the networks."""
  return functools.partial(
    normalize_lib.normalize, method=config.data.normalize
  )


def prepare(config: Config) -> step_terms.Prepare:
  """Returns what normalises and augments a batch of images and masks."""
  spec = augment.Augmentation(**config.augment.to_dict())
  scaled = normalize(config)

  def prepare_batch(key: jax.Array, batch: Batch) -> Batch:
    image, mask = augment.augment(
      key, scaled(batch.image), batch.mask.astype(jnp.float32), spec=spec
    )
    return dataclasses.replace(batch, image=image, mask=mask)

  return prepare_batch


def form(config: Config) -> dict[str, Any]:
  """Returns where data are prepared, and in which form."""
  keys = ("data_dir", "resolution", "bits")
  return {key: getattr(config.data, key) for key in keys}


def open_dataset(config: Config) -> Dataset:
  """Opens the prepared data set of a configuration.

  Raises:
    DataError: not prepared, damaged, or with other classes than the run has.
  """
  dataset = Dataset(config.data.dataset, **form(config))
  named = tuple(config.data.class_names)
  if (
    (config.discriminator.enabled or config.classifier.enabled)
    and not networks.is_multi_label(config)
    and named not in ((), dataset.class_names)
  ):
    raise DataError(
      f"The run classifies {', '.join(named)}, but {dataset.name} in "
      f"{dataset.data_dir} is prepared with the classes "
      f"{', '.join(dataset.class_names) or '(none)'}. Prepare it with the "
      "labels that the run began with, or train in a new --workdir."
    )
  return dataset


def settled(config: Config, dataset: Dataset) -> Config:
  """Returns the configuration completed from the prepared data set.

  Adds the classes of a set of the user, so that the networks can be built from
  the run's folder alone, the findings, and the split that `auto` stands for.

  Raises:
    DataError: the prepared data do not state the findings.
  """
  config = copy.deepcopy(config)
  own = any(map(registry.is_own, registry.parts(dataset.name)))
  if own and not config.data.class_names:
    config.data.class_names = dataset.class_names
  if networks.has_classes(config) and networks.is_multi_label(config):
    config.data.class_names = networks.class_names(config)
    _check_findings(config.data.class_names, dataset)
  if config.data.split == "auto":
    config.data.split = "given" if dataset.has_given_split else "paper"
  return config


def _check_findings(names: Sequence[str], dataset: Dataset) -> None:
  absent = [name for name in names if name not in dataset.finding_names]
  if absent:
    raise DataError(
      f"The run learns the findings {', '.join(names)}, and {dataset.name} in "
      f"{dataset.data_dir} does not state {', '.join(absent)}; it states "
      f"{', '.join(dataset.finding_names) or 'none'}. If it was prepared by an "
      "earlier version, prepare it again; else choose findings by "
      "--config.data.class_names."
    )


def planned(config: Config) -> tuple[Config, int]:
  """Returns what `complete` does, of a public set without its data."""
  if not registry.is_public(config.data.dataset):
    return complete(config)
  return config, label_budget.training_count(
    config.data.dataset,
    split=config.data.split,
    unmasked_images=config.data.unmasked_images,
  )


def complete(config: Config) -> tuple[Config, int]:
  """Completes a configuration from its prepared data.

  Returns:
    The configuration, and how many images train, labelled or not.

  Raises:
    DataError: they are not prepared.
  """
  dataset = open_dataset(config)
  config = settled(config, dataset)
  found = parts(config, dataset)
  return config, len(found.train_labelled) + len(found.train_unlabelled)


def parts(config: Config, dataset: Dataset) -> Parts:
  """Returns the split of the images at hand, under the budgets of labels."""
  options = {key: getattr(config.data, key) for key in _SPLIT_KEYS}
  options["classes_without_masks"] &= networks.has_classes(config)
  return dataset.split(config.data.split, **options)


def load(
  config: Config,
  dataset: Dataset,
  *,
  ids: Sequence[str],
  part: str = "this part",
) -> Source:
  """Returns the named images with their masks and classes.

  Args:
    config: the configuration.
    dataset: the prepared set.
    ids: the images.
    part: what they are, for messages, such as validation.

  Raises:
    DataError: there are none.
  """
  if not ids and config.data.split == "given":
    raise DataError(
      f"labels.csv gives no image with a mask of {dataset.name} to {part}. "
      f"Write {part} in the column split of some images and prepare the set "
      "again, or let all images be divided by --config.data.split=paper."
    )
  if not ids:
    raise DataError(
      f"No image of {dataset.name} is available for {part} of split "
      f"'{config.data.split}' in {dataset.data_dir}. Prepare the files that "
      "launch.prepare_data lists as missing, or choose another "
      "--config.data.split."
    )
  return _open(config, dataset, ids=ids)


def load_classes(
  config: Config, dataset: Dataset, *, parts: Parts, part: str
) -> Source | None:
  """Returns the images without a mask that measure the diagnosis; or None.

  Args:
    config: the configuration.
    dataset: the prepared set.
    parts: its split.
    part: "validation" or "test".
  """
  ids = getattr(parts, f"{part}_classes")
  return _open(config, dataset, ids=ids, masks_of=()) if ids else None


def load_with_classes(
  config: Config, dataset: Dataset, *, parts: Parts, lazy: bool = False
) -> Source:
  """Returns the training images whose class is used, without their masks.

  Args:
    config: the configuration.
    dataset: the prepared set.
    parts: its split.
    lazy: whether to decode no image before it is taken.
  """
  lazy = lazy or config.data.streaming
  return _open(config, dataset, ids=parts.classes, masks_of=(), streaming=lazy)


def load_training(config: Config, dataset: Dataset, *, parts: Parts) -> Source:
  """Returns the training images, labelled ones first.

  Masks and labels outside the budgets are absent. Unlabelled images are
  included only if the batches contain some.
  """
  ids = parts.train_labelled
  if config.train.unlabelled_in_batch:
    ids = (*ids, *parts.train_unlabelled)
  return _open(
    config,
    dataset,
    ids=ids,
    masks_of=parts.train_labelled,
    labels_of=parts.classes,
  )


def _open(config: Config, dataset: Dataset, **options) -> Source:
  findings = ()
  if networks.has_classes(config) and networks.is_multi_label(config):
    findings = networks.class_names(config)
  options.setdefault("streaming", config.data.streaming)
  return dataset.open(
    structures=config.data.structures, findings=findings, **options
  )
