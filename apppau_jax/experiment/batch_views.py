"""The first minibatch of a run as its networks may see it."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from apppau_jax.batch import Batch
from apppau_jax.datasets.parts import Parts
from apppau_jax.experiment import (
  beginning,
  data,
  input_pipeline,
  step,
  step_checks,
)
from apppau_jax.experiment.assemble import plan
from apppau_jax.experiment.networks import Config, class_names
from apppau_jax.reports.montage import View

_LABELLED, _UNLABELLED = 6, 4  # images shown, at most
_VIEWS = 3  # of each


def batch_views(config: Config) -> dict[str, list[View]]:
  """Prepares, augments and perturbs the images of the first minibatch.

  Returns:
    The views of each image by its id and class, labelled images first.

  Raises:
    ConfigError: a configuration that cannot be trained.
    DataError: data that are not prepared.
  """
  beginning.ensure_phantoms(config)
  dataset = data.open_dataset(config)
  config = data.settled(config, dataset)
  parts = data.parts(config, dataset)
  step_checks.check_players(config, unlabelled=len(parts.train_unlabelled))
  labelled, unlabelled = _shown_rows(config, parts)
  training = data.load_training(config, dataset, parts=parts)
  loaded = training.take([*labelled, *unlabelled])
  batch = input_pipeline.to_batch(loaded)
  keys = jax.random.split(jax.random.key(config.seed), _VIEWS)
  prepare = jax.jit(data.prepare(config))
  views: list[Batch] = [prepare(key, batch) for key in keys]
  titles = other_titles = ["trained on"] * _VIEWS
  perturbs = step.semi_supervision(config, plan(config, parts))
  if perturbs is not None and unlabelled:
    other_titles = ["weak view", *["strong view"] * (_VIEWS - 1)]
    views[1:] = _strong_views(
      perturbs, weak=views[0], batches=views[1:], keys=keys[1:],
      count=len(labelled),
    )  # fmt: skip
  normalized = data.normalize(config)(batch.image)
  prepared = dataclasses.replace(batch, image=normalized)
  names = class_names(config) or dataset.class_names
  rows = {}
  for i, name in enumerate(loaded.ids):
    label = "class unknown"
    if loaded.has_label[i]:
      label = _in_words(loaded.label[i], names)
    own = titles if i < len(labelled) else other_titles
    rows[f"{name}\n{label}"] = [
      View(
        title=title,
        image=np.asarray(view.image[i, ..., 0]),
        mask=np.asarray(view.mask[i]) if loaded.has_mask[i] else None,
      )
      for title, view in zip(["as prepared", *own], [prepared, *views])
    ]
  return rows


def _in_words(label: np.ndarray, names: Sequence[str]) -> str:
  if not label.ndim:
    return names[int(label)]
  found = [name for name, value in zip(names, label) if value == 1]
  return ", ".join(found) or "no finding"


def _shown_rows(config: Config, chosen: Parts) -> tuple[list[int], list[int]]:
  """Rows of the labelled and unlabelled images, each image once."""
  order_of = input_pipeline.minibatches(config, chosen)
  minibatch = np.atleast_2d(order_of(0))[-1]
  parts = np.split(minibatch, [step.labelled_rows(config)])
  labelled, unlabelled = (list(dict.fromkeys(p.tolist())) for p in parts)
  return labelled[:_LABELLED], unlabelled[:_UNLABELLED]


def _strong_views(
  perturbs, *, weak: Batch, batches: Sequence[Batch], keys, count: int
) -> list[Batch]:
  """The batches with strong views of the images after the first `count`."""
  labelled, others = slice(count), slice(count, None)
  drawn = (weak.image[labelled], weak.mask[labelled])
  return [
    dataclasses.replace(
      batch,
      image=batch.image.at[others].set(
        perturbs.method.strong_view(
          key, weak.image[others], weak.mask[others], labelled=drawn
        )[0]
      ),
    )
    for key, batch in zip(keys, batches)
  ]
