"""Unlabelled masks are absent: noise in their place changes no bit."""

import copy
import io
import json
import shutil

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from PIL import Image

from apppau_jax.datasets import features, prepared
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepared import Prepared
from apppau_jax.experiment import data
from apppau_jax.experiment.assemble import assemble
from configs import appau_phantom

_PICTURES = ("image", "mask", "structures")


@pytest.fixture
def config(data_dir):
  config = appau_phantom.get_config("quick")
  config.data.data_dir = str(data_dir)
  config.data.label_count = 4
  config.data.class_fraction = 0.0  # as the masks
  config.model.preset = "unet"  # compiles in half the time
  config.model.base_width = 1
  config.discriminator.base_width = 1
  config.consistency.name = "pseudo_label"
  config.discriminator.predicted_weight = 0.5
  config.train.batch_size = 4
  config.train.unlabelled_in_batch = 2
  config.eval.batch_size = 4
  return config


def _rewrite(source, target, *, change):
  """Copies prepared shards, each record through `change`, manifest and all."""
  old, new = (
    Prepared(data_dir=data_dir, dataset="phantom")
    for data_dir in (source, target)
  )
  folder = shutil.copytree(old.folder, new.folder)
  built = tfds.builder_from_directory(folder)
  skip = tfds.decode.SkipDecoding()
  records = built.as_data_source(
    split=features.SPLIT, decoders=dict.fromkeys(_PICTURES, skip)
  )
  records = [change(dict(record)) for record in records]
  (shard,) = folder.glob("*.array_record-*")
  writer = array_record_module.ArrayRecordWriter(str(shard), "group_size:1")
  for record in records:
    for name in _PICTURES:
      record[name] = io.BytesIO(record[name])
    writer.write(built.info.features.serialize_example(record))
  writer.close()
  facts = {**old.read_record(), "files": prepared.checksums(folder)}
  (folder / prepared.RECORD).write_text(json.dumps(facts))


def _noise(rng):
  pixels = rng.integers(0, 2, (128, 128)).astype(np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format="PNG")
  return file.getvalue()


@pytest.fixture
def both(config, tmp_path):
  """The split, the data, and the same with noise for every hidden mask."""
  chosen = data.parts(config, data.open_dataset(config))
  hidden = set(chosen.train_unlabelled)
  assert len(chosen.train_labelled) == 4
  assert len(hidden) >= 8
  rng = np.random.default_rng(0)

  def spoil(record):
    if record["id"].decode() in hidden:
      record |= {"mask": _noise(rng), "label": 1 - record["label"]}
    return record

  _rewrite(config.data.data_dir, tmp_path / "noise", change=spoil)
  noisy = copy.deepcopy(config)
  noisy.data.data_dir = str(tmp_path / "noise")
  # The noise is in the files.
  seen = Dataset("phantom", data_dir=tmp_path / "noise").open(sorted(hidden))
  assert seen.mask.mean() == pytest.approx(0.5, abs=0.02)
  return chosen, config, noisy


@pytest.mark.parametrize("streaming", [False, True])
def test_noise_on_disk_never_reaches_memory(both, streaming):
  """All that the training step is ever given, from memory or from disk."""
  chosen, *configs = both
  found = []
  for config in configs:
    config.data.streaming = streaming
    source = data.load_training(config, data.open_dataset(config), parts=chosen)
    found.append(source.take(np.arange(len(source.ids))))
  clean, noisy = found
  assert clean.ids == noisy.ids
  assert len(clean.ids) > len(chosen.train_labelled)
  for name in ("image", "mask", "label", "has_mask", "has_label"):
    np.testing.assert_array_equal(getattr(clean, name), getattr(noisy, name))
  assert clean.mask[:4].any(axis=(1, 2, 3)).all()
  assert not noisy.mask[4:].any()
  assert (noisy.label[4:] == -1).all()


@pytest.mark.slow
def test_noise_on_disk_leaves_the_run_bit_identical(
  both, tmp_path, assert_same
):
  chosen, *configs = both
  finals = []
  for number, config in enumerate(configs):
    run, state = assemble(
      config,
      chosen,
      dataset=data.open_dataset(config),
      workdir=tmp_path / str(number),
      meta={},
    )
    steps = []
    for _, (seen, rows) in zip(range(4), run.feed(0)):
      state, metrics = run.train_step(state, seen, rows)
      steps.append(jax.device_get(metrics))
    finals.append((steps, jax.device_get(state)))
  assert_same(*finals)
  assert float(finals[0][0][0]["discriminator_class"]) > 0
