"""Which images train, validate and test, and what may be known of them."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from apppau_jax.batch import Batch
from apppau_jax.datasets import catalogue as examples
from apppau_jax.datasets import examples as stored
from apppau_jax.datasets import names, published, splits
from apppau_jax.errors import DataError
from apppau_jax.experiment.networks import Config
from apppau_jax.training import step_terms
from apppau_jax.transforms import augment
from apppau_jax.transforms import normalize as normalize_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
  """A split, and what is known of its training images.

  Attributes:
    split: ids of the four parts; masks of `train_labelled` are known.
    classes: ids of the training images whose class is known.
  """

  split: splits.Split
  classes: tuple[str, ...]

  def labels(self) -> dict[str, list[str]]:
    """The ids of what is known in training, by kind."""
    return {
      "masks": list(self.split.train_labelled),
      "classes": list(self.classes),
    }


def normalize(config: Config) -> Callable[[jax.Array], jax.Array]:
  """Grey levels to what the networks see."""
  return functools.partial(
    normalize_lib.normalize, method=config.data.normalize
  )


def prepare(config: Config) -> step_terms.Prepare:
  """Normalises and augments a batch of raw images and their masks."""
  spec = augment.Augmentation(**config.augment.to_dict())
  scaled = normalize(config)

  def prepare_batch(key: jax.Array, batch: Batch) -> Batch:
    image, mask = augment.augment(
      key, scaled(batch.image), batch.mask.astype(jnp.float32), spec=spec
    )
    return dataclasses.replace(batch, image=image, mask=mask)

  return prepare_batch


def catalogue(config: Config) -> examples.Catalogue:
  """What is prepared of the data set.

  Raises:
    DataError: not prepared, or with other classes than D is to tell apart.
  """
  known = examples.read_catalogue(
    config.data.data_dir,
    dataset=config.data.dataset,
    resolution=config.data.resolution,
    bits=config.data.bits,
  )
  named = tuple(config.data.class_names)
  if config.discriminator.enabled and named not in ((), known.class_names):
    raise DataError(
      f"The run tells {', '.join(named)} apart, and {config.data.dataset} in "
      f"{config.data.data_dir} is prepared with the classes "
      f"{', '.join(known.class_names) or '(none)'}. Prepare it with the labels "
      "that the run began with, or train in a new --workdir."
    )
  return known


def settled(config: Config, known: examples.Catalogue) -> Config:
  """The configuration with what only the prepared set tells filled in.

  The classes of a set of the user's own, so that its networks can be built
  from the run's folder alone; and which split `auto` is.
  """
  config = copy.deepcopy(config)
  own = any(map(names.is_own, names.parts(config.data.dataset)))
  if own and not config.data.class_names:
    config.data.class_names = known.class_names
  if config.data.split == "auto":
    config.data.split = "given" if _given(known) else "paper"
  return config


def content_sha256(config: Config) -> str:
  """Checksum of the prepared examples, equal wherever they were prepared."""
  return examples.content_sha256(
    config.data.data_dir,
    dataset=config.data.dataset,
    resolution=config.data.resolution,
    bits=config.data.bits,
  )


def parts(config: Config, known: examples.Catalogue) -> Parts:
  """The split of the images at hand, and the two budgets of labels."""
  knobs = config.data
  entries = [e for e in known.entries if e.has_mask]
  patients = patients_of(known)
  divide = functools.partial(
    splits.make_split,
    knobs.split,
    dataset=knobs.dataset,
    ids=[e.id for e in entries],
    labels={e.id: e.label for e in entries},
    groups=patients,
    seed=knobs.split_seed,
    label_seed=knobs.label_seed,
    given=_given(known),
    sources={e.id: e.source for e in entries},
  )
  split = divide(label_fraction=knobs.label_count or knobs.label_fraction)
  if knobs.structures:
    split = _outlined(split, entries, wanted=knobs.structures)
  # The same order of labelling: the smaller of two budgets is in the larger.
  budget = knobs.class_count or knobs.class_fraction
  like_masks = budget == 0
  named = split if like_masks else divide(label_fraction=budget)
  classes = named.train_labelled
  if knobs.unmasked_images:
    extra = _unmasked(known, split, respected=knobs.split == "given")
    split = dataclasses.replace(
      split,
      train_unlabelled=tuple(sorted({*split.train_unlabelled, *extra})),
    )
    split.check(groups=None if knobs.split == "idiap" else patients)
    if knobs.class_fraction == 1.0 and not knobs.class_count:
      classes = tuple(sorted({*classes, *extra}))
  told = {e.id for e in known.entries if e.label >= 0}
  return Parts(split=split, classes=tuple(i for i in classes if i in told))


def _unmasked(
  known: examples.Catalogue, split: splits.Split, *, respected: bool
) -> list[str]:
  """Images without masks to train on: of no patient who is to be judged.

  What a public list has a part for never counts as without a mask, though its
  file be missing: it may be one of the test images.

  Args:
    known: what there is.
    split: that of the images with masks.
    respected: whether a part that the set gives these images counts.
  """
  patients, given = patients_of(known), _given(known) if respected else {}
  judged = {patients[i] for i in (*split.validation, *split.test)}
  members = names.members(known.dataset)
  listed = {i for name in members for i in published.published_ids(name) or ()}
  return [
    e.id
    for e in known.entries
    if not e.has_mask
    and e.id not in listed
    and patients[e.id] not in judged
    and given.get(e.id, "train") == "train"
  ]


def _outlined(
  split: splits.Split,
  entries: Sequence[examples.Entry],
  *,
  wanted: Sequence[str],
) -> splits.Split:
  """The split when masks are those of `wanted`, which not all images have.

  A training image without one of them is unlabelled: zeros would teach that
  the structure is not there. What cannot be measured is not validated or
  tested on.

  Raises:
    DataError: no mask is left to train on.
  """
  ids = {e.id for e in entries if {*wanted} <= {*e.structures}}
  labelled = ids.intersection(split.train_labelled)
  if not labelled:
    raise DataError(
      f"None of the {len(split.train_labelled)} labelled training images has "
      f"all of config.data.structures={tuple(wanted)} outlined, so there is "
      "nothing to learn them from. Prepare the set with the files of all its "
      "structures, or leave the key () for the united lungs."
    )
  lacking = {*split.train_labelled} - labelled
  return splits.Split(
    train_labelled=tuple(sorted(labelled)),
    train_unlabelled=tuple(sorted({*split.train_unlabelled, *lacking})),
    validation=tuple(i for i in split.validation if i in ids),
    test=tuple(i for i in split.test if i in ids),
  )


def patients_of(known: examples.Catalogue) -> dict[str, str]:
  """Patient of each id; two sets may call two people the same."""
  several = names.is_combined(known.dataset)
  return {
    e.id: f"{e.source}/{e.patient}" if several else e.patient
    for e in known.entries
  }


def _given(known: examples.Catalogue) -> dict[str, str]:
  """The part of each image that the set itself tells."""
  told = {e.id: str(e.details.get("split", "")) for e in known.entries}
  return {i: part for i, part in told.items() if part}


def load(config: Config, ids: Sequence[str]) -> stored.Source:
  """The named images with their masks and classes."""
  if not ids:
    raise DataError(
      f"No image of {config.data.dataset} is at hand for this part of split "
      f"'{config.data.split}' in {config.data.data_dir}; prepare the files "
      "that launch.prepare_data lists as missing, or choose another "
      "--config.data.split."
    )
  return _load(config, ids, masks_of=ids, labels_of=ids)


def load_training(config: Config, chosen: Parts) -> stored.Source:
  """The training images, labelled first, and only what may be known of them.

  Unlabelled images are there only if the batches have room for them.
  """
  split = chosen.split
  ids = split.train_labelled
  if config.train.unlabelled_in_batch:
    ids = (*ids, *split.train_unlabelled)
  return _load(
    config, ids, masks_of=split.train_labelled, labels_of=chosen.classes
  )


def _load(config: Config, ids, **known) -> stored.Source:
  """In memory, or with `data.streaming` still on disk."""
  found = examples.open_examples(
    config.data.data_dir,
    dataset=config.data.dataset,
    resolution=config.data.resolution,
    bits=config.data.bits,
    ids=ids,
    structures=config.data.structures,
    **known,
  )
  return found if config.data.streaming else found.load()
