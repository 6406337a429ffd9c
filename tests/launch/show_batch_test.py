"""The picture shows what is trained on, and no mask that is not used."""

import os
import subprocess
import sys

import numpy as np
from PIL import Image

from apppau_jax.experiment import batch_views
from configs import appau_phantom, phantom

LEVELS = ["as prepared", "trained on", "trained on", "trained on"]
VIEWS = ["as prepared", "weak view", "strong view", "strong view"]


def _config(module, data_dir):
  config = module.get_config("quick")
  config.data.data_dir = str(data_dir)
  config.train.batch_size = 12
  return config


def _titles(rows):
  return [[view.title for view in row] for row in rows.values()]


def test_labelled_images_have_their_masks_and_the_others_none(data_dir):
  config = _config(appau_phantom, data_dir)
  config.data.label_count = config.data.class_count = 2
  rows = batch_views.batch_views(config)
  assert _titles(rows) == [LEVELS] * 2 + [VIEWS] * 4
  for i, (name, row) in enumerate(rows.items()):
    assert name.endswith("\nclass unknown") == (i >= 2)
    assert all((view.mask is None) == (i >= 2) for view in row)
    if i < 2:  # the prepared mask is the file's own, not an augmented one
      assert {*np.unique(row[0].mask)} == {0, 1}
      assert not any(np.array_equal(row[0].mask, v.mask) for v in row[1:])
    assert all(view.image.shape == row[0].image.shape for view in row)
    assert not any(np.array_equal(row[0].image, v.image) for v in row[1:])
    assert min(v.image.min() for v in row) >= 0.0
    assert max(v.image.max() for v in row) <= 1.0
  assert row[0].image.max() == 1.0  # as normalised: minmax


def test_one_player_sees_masks_only(data_dir):
  config = _config(phantom, data_dir)
  for key in ("rotate_degrees", "scale", "shift", "gamma"):
    config.augment[key] = 0.0
  rows = batch_views.batch_views(config)
  assert _titles(rows) == [LEVELS] * 6
  for row in rows.values():  # nothing is augmented
    for view in row[1:]:
      np.testing.assert_array_equal(view.image, row[0].image)
      np.testing.assert_array_equal(view.mask, row[0].mask)


def test_the_command_writes_a_picture_and_only_a_png(data_dir, tmp_path):
  def call(name):
    return subprocess.run(
      [
        *(sys.executable, "-m", "launch.show_batch"),
        "--config=configs/phantom.py:quick",
        f"--config.data.data_dir={data_dir}",
        f"--output={tmp_path / name}",
      ],
      env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
      capture_output=True,
      text=True,
      check=False,
    )

  refused = call("batch.jpg")
  assert refused.returncode == 2
  assert "must end in .png" in refused.stderr
  done = call("new/batch.png")
  assert done.returncode == 0, done.stderr
  with Image.open(tmp_path / "new" / "batch.png") as picture:
    assert picture.format == "PNG"
    assert min(picture.size) > 300
