"""The public interface end to end: fit, reports, load and predict."""

import json
import pathlib

import numpy as np
import pytest

import apppau_jax as ap
from apppau_jax import progress
from apppau_jax.errors import ConfigError
from configs import phantom

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
  config = phantom.get_config("quick")
  config.data.data_dir = str(data_dir)
  config.model.preset, config.model.base_width = "unet", 4
  config.loss.name = "cross_entropy_tversky"
  config.optim.learning_rate, config.optim.ema_decay = 1e-2, 0.0
  config.train.batch_size, config.train.epochs = 4, 6
  config.train.eval_every_epochs = 3
  return ap.fit(config, workdir=tmp_path_factory.mktemp("fit") / "run")


def test_a_short_run_reaches_a_band_of_dice(run):
  assert 0.6 < run.report("test")["segmentation"]["dice"]["mean"] <= 1.0
  assert run.evaluated_parts == ("validation", "test")
  losses = [h["loss"] for h in run.history if h["kind"] == "train"]
  assert losses[-1] < losses[0]


def test_the_model_predicts_as_the_report_says(run, data_dir):
  """Through the file's own pixels, by path and by array."""
  model = ap.load(run.workdir)
  dataset = ap.Dataset("phantom", data_dir=data_dir)
  parts = dataset.split("paper")
  examples = dataset.open(parts.test)
  found = model.predict([image[..., 0] for image in examples.image])
  dice = [
    ap.metrics.dice(one, mask[..., 0] > 0)
    for one, mask in zip(found, examples.mask)
  ]
  by_id = {i["id"]: i["dice"] for i in run.report("test")["per_image"]}
  expected = [by_id[name] for name in examples.ids]
  np.testing.assert_allclose(dice, expected, atol=1e-6)


def test_fit_is_quiet_and_resumes_what_is_done(run, capfd):
  before = run.report("test")
  config = run.workdir / "config.json"
  settings = ap.Config.from_dict(json.loads(config.read_text()))
  again = ap.fit(settings, workdir=run.workdir)
  assert capfd.readouterr().out == ""
  assert not progress.is_shown()
  assert again.report("test")["per_image"] == before["per_image"]


def test_recipes_are_named_by_their_path(tmp_path):
  with pytest.raises(ConfigError, match=r"no recipe nowhere\.py"):
    ap.fit("nowhere.py", workdir=tmp_path)
