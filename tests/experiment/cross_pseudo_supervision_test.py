"""Cross pseudo supervision from a configuration to a trained run."""

import jax
import numpy as np
import pytest

from apppau_jax.experiment import data, networks
from apppau_jax.experiment.assemble import assemble
from apppau_jax.training import loop
from configs import baselines


@pytest.fixture
def config(data_dir):
  config = baselines.get_config("dataset=phantom,name=no_discriminator")
  config.consistency.name = "cross_pseudo_supervision"
  config.data.data_dir = str(data_dir)
  config.data.label_count, config.data.label_fraction = 4, 1.0
  config.model.preset, config.model.base_width = "unet", 4
  config.train.batch_size, config.train.unlabelled_in_batch = 4, 2
  config.train.epochs = config.train.eval_every_epochs = 30
  config.augment.geometry_probability = 0.0
  config.optim.ema_decay = 0.9
  return config


def test_two_segmentors_start_from_different_parameters(config):
  state = jax.jit(lambda: networks.init(config))()
  assert state.players.keys() == {"segmentor", "segmentor_b"}
  a, b = (player.params for player in state.players.values())
  assert jax.tree.structure(a) == jax.tree.structure(b)
  differ = jax.tree.map(lambda x, y: bool(np.all(x != y)) or x.ndim < 4, a, b)
  assert all(jax.tree.leaves(differ))


@pytest.mark.slow
def test_it_learns_the_lungs_of_phantoms(config, tmp_path):
  dataset = data.open_dataset(config)
  chosen = data.parts(config, dataset)
  run, state = assemble(
    config, chosen, dataset=dataset, workdir=tmp_path, meta={}
  )
  before, _ = run.evaluate_fn(state)
  after, _ = run.evaluate_fn(loop.run(run, state))
  assert before["dice"] < 0.6
  assert after["dice"] > 0.8
  found, _, _ = run.best.restore(state.averages)
  assert found.keys() == {"segmentor", "segmentor_b"}
  run.latest.close()
  run.best.close()
