"""Streamed or in memory, the run is the same: structures, two players."""

import jax
import numpy as np
import pytest
from fixtures.stub_member import StubMember

from apppau_jax import phantoms as drawing
from apppau_jax.datasets import examples as stored
from apppau_jax.datasets import jsrt, registry
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.experiment import data, input_pipeline
from apppau_jax.experiment.assemble import assemble
from apppau_jax.inference.model import Model
from apppau_jax.reports import evaluate
from apppau_jax.training import loop, parallel
from configs import appau_phantom, jsrt_structures
from configs import phantom as phantom_config

NAMES = registry.structure_names("jsrt")


@pytest.fixture(scope="module")
def jsrt_dir(tmp_path_factory):
  """JSRT phantoms of 64 pixels, the heart of one of them missing."""
  raw = tmp_path_factory.mktemp("raw")
  root = tmp_path_factory.mktemp("jsrt")
  drawing.write_jsrt(raw, count=16, size=64)
  (raw / "scratch/fold1/masks/heart/JPCLN001.gif").unlink()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jsrt, "SIDE", 64)
    prepare("jsrt", raw_dir=raw, data_dir=root, allow_missing=True)
  return root


@pytest.fixture
def game(jsrt_dir):
  """Two players and pseudo-labels on five structures."""
  config = jsrt_structures.get_config("quick")
  both = appau_phantom.get_config("quick")
  for room in ("discriminator", "adversarial", "consistency"):
    config[room].update(both[room])
  config.data.data_dir = str(jsrt_dir)
  config.data.split = "paper"
  config.data.label_fraction = 0.5
  config.data.class_fraction = 1.0
  config.model.preset = "unet"
  config.model.base_width = config.discriminator.base_width = 1
  config.train.batch_size, config.train.unlabelled_in_batch = 4, 2
  return config


@pytest.fixture
def alone(data_dir):
  config = phantom_config.get_config("quick")
  config.data.data_dir = str(data_dir)
  config.train.batch_size = 5  # epochs end within a batch
  return config


def _parts(config):
  return data.parts(config, data.open_dataset(config))


def _batches(config, *, start, stop=6):
  """What the step gathers, with and without streaming."""
  mesh = parallel.own_mesh()
  dataset = data.open_dataset(config)
  for config.data.streaming in (False, True):
    chosen = data.parts(config, dataset)
    feed = input_pipeline.feed(
      data.load_training(config, dataset, parts=chosen),
      order=input_pipeline.minibatches(config, chosen),
      mesh=mesh,
      plan=loop.Plan(
        steps=stop, steps_per_epoch=stop, log_every=1, eval_every=stop
      ),
    )
    yield [
      batch if rows is None else batch.take(rows) for batch, rows in feed(start)
    ]


@pytest.mark.parametrize("start", [0, 4])
@pytest.mark.parametrize("kind", ["alone", "game"])
def test_batches_are_bitwise_the_same_from_any_step_on(
  request, kind, start, assert_same
):
  config = request.getfixturevalue(kind)
  memory, disk = _batches(config, start=start)
  assert len(memory) == len(disk) == 6 - start
  assert_same(memory, disk)
  first = memory[0]
  shape = (2, 4, 128, 128) if kind == "game" else (5, 128, 128)
  assert first.image.shape == (*shape, 1)
  assert first.mask.shape == (*shape, 5 if kind == "game" else 1)
  assert np.asarray(first.image).std() > 0
  if kind == "game":
    assert not np.asarray(first.has_mask)[:, 2:].any()
    assert not np.asarray(first.mask)[:, 2:].any()


@pytest.mark.slow
def test_parameters_are_bitwise_the_same(game, tmp_path, assert_same):
  dataset = data.open_dataset(game)
  chosen = data.parts(game, dataset)
  finals = []
  for game.data.streaming in (False, True):
    run, state = assemble(
      game,
      chosen,
      dataset=dataset,
      workdir=tmp_path / str(game.data.streaming),
      meta={},
    )
    seen = []
    for _, (batch, rows) in zip(range(3), run.feed(0)):
      state, metrics = run.train_step(state, batch, rows)
      seen.append(jax.device_get(metrics))
    finals.append((seen, jax.device_get(state)))
    run.latest.close()
    run.best.close()
  assert_same(*finals)
  seen, state = finals[0]
  assert all(np.isfinite(list(m.values())).all() for m in seen)
  kernel = state.players["segmentor"].params["head1"]["kernel"]
  assert kernel.shape[-1] == 5


def test_an_image_without_all_structures_is_unlabelled(game):
  game.data.label_fraction = 1.0
  game.train.unlabelled_in_batch = 2
  game.data.structures = ()
  lungs = _parts(game)
  game.data.structures = ("heart", "left_lung")
  split = _parts(game)
  assert "JPCLN001" in lungs.train_labelled
  assert split.train_unlabelled == ("JPCLN001",)
  assert {*split.train_labelled} == {*lungs.train_labelled} - {"JPCLN001"}
  assert (split.validation, split.test) == (lungs.validation, lungs.test)
  source = data.load_training(game, data.open_dataset(game), parts=split)
  assert source.ids[-1] == "JPCLN001"
  assert source.has_mask.tolist() == [True] * len(lungs.train_labelled[1:]) + [
    False
  ]


def test_numbers_are_the_same_and_each_structure_has_its_own(game):
  """With a stub for S: lungs where dark, other structures nowhere."""

  def logits(image):
    dark = 90.0 - np.asarray(image, np.float32)
    return np.concatenate([dark, dark, *[-np.ones_like(dark)] * 3], axis=-1)

  dataset = data.open_dataset(game)
  ids = [e.id for e in dataset.entries if e.structures]
  reports = []
  for game.data.streaming in (False, True):
    source = data.load(game, dataset, ids=ids)
    assert isinstance(source, stored.Stored) == game.data.streaming
    model = Model(
      [StubMember(logits)], resolution=128, batch_size=4, structures=NAMES
    )
    scored = evaluate.score(
      model.batches(source), ids=source.ids, structures=NAMES
    )
    reports.append(evaluate.make_report(scored, facts={}))
  report, streamed = reports
  assert report == streamed
  assert "paper_compat" not in report
  assert tuple(report["structures"]) == NAMES
  dice = {k: v["dice"]["mean"] for k, v in report["structures"].items()}
  assert dice["heart"] == dice["left_clavicle"] == 0.0
  assert dice["left_lung"] > 0.1
  assert report["segmentation"]["dice"]["mean"] == pytest.approx(
    np.mean(list(dice.values()))
  )
  dataset = Dataset("jsrt", data_dir=game.data.data_dir)
  image = dataset.open(ids[:1], structures=("left_lung",))
  found, mask = image.image[0] <= 90, image.mask[0] > 0
  by_hand = 2 * (found & mask).sum() / (found.sum() + mask.sum())
  row = report["per_image"][0]
  assert row["structures"]["left_lung"]["dice"] == pytest.approx(by_hand)
