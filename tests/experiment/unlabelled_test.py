"""Unlabelled masks are absent: noise in their place changes no bit."""

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
    split=features.SPLIT, decoders={"image": skip, "mask": skip}
  )
  records = [change(dict(record)) for record in records]
  (shard,) = folder.glob("*.array_record-*")
  writer = array_record_module.ArrayRecordWriter(str(shard), "group_size:1")
  for record in records:
    for name in ("image", "mask"):
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


def test_noise_on_disk_leaves_the_run_bit_identical(
  config, tmp_path, assert_same
):
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
  finals = {"a": [], "b": []}
  train_step = None  # one program for both
  for name, folder in (("a", config.data.data_dir), ("b", tmp_path / "noise")):
    config.data.data_dir = str(folder)
    run, state = assemble(
      config,
      chosen,
      dataset=data.open_dataset(config),
      workdir=tmp_path / name,
      meta={},
    )
    train_step = train_step or run.train_step
    for _, (seen, rows) in zip(range(3), run.feed(0)):
      masks = np.asarray(seen.mask)[4:]
      assert not masks.any()  # not there, noise or not
      assert np.asarray(seen.label)[4:].max() == -1
      state, metrics = train_step(state, seen, rows)
      finals[name].append(jax.device_get(metrics))
    finals[name].append(jax.device_get(state))
  assert_same(finals["a"], finals["b"])
  assert float(finals["a"][0]["discriminator_class"]) > 0

  # The noise is in the files.
  noisy = Dataset("phantom", data_dir=tmp_path / "noise")
  seen = noisy.open(sorted(hidden))
  assert seen.mask.mean() == pytest.approx(0.5, abs=0.02)
