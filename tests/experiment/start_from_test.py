"""A run that starts from other weights takes those that fit, and says so."""

import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.config import Config
from apppau_jax.errors import CheckpointError, ConfigError
from apppau_jax.experiment import model_file, restoring, start_from
from apppau_jax.experiment.model_file import ModelFile
from apppau_jax.models.segmentor import Segmentor


def _config(**model):
  config = Config()
  config.model.preset, config.model.base_width = "unet", 1
  for key, value in model.items():
    setattr(config.model, key, value)
  return config


def _drawn(tree, seed):
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: jnp.asarray(rng.uniform(0.1, 1, leaf.shape), leaf.dtype), tree
  )


def _state(config):
  return _drawn(restoring.shapes(config), 1)


@pytest.fixture
def source(tmp_path):
  """A file with two structures, so that its last layer fits no united lungs."""
  config = _config()
  config.data.structures = ("heart", "left_lung")
  variables = jax.device_get(_drawn(restoring.shapes(config).averages, 0))
  path = tmp_path / "source.safetensors"
  model_file.write(path, ModelFile(config=config, variables=variables))
  return path, variables


def test_arrays_that_fit_are_taken_and_the_others_named(source, caplog):
  path, theirs = source
  config = _config()
  config.train.start_from = str(path)
  before = _state(config)
  with caplog.at_level(logging.INFO, "apppau_jax"):
    after = start_from.start(config, before)
  player, old = after.players["segmentor"], before.players["segmentor"]
  missed = set()
  for group in ("params", "batch_stats"):
    found = dict(
      jax.tree_util.tree_flatten_with_path(player.variables[group])[0]
    )
    own = dict(jax.tree_util.tree_flatten_with_path(old.variables[group])[0])
    other = dict(
      jax.tree_util.tree_flatten_with_path(theirs["segmentor"][group])[0]
    )
    for name, value in found.items():
      fits = other[name].shape == value.shape
      expected = other[name] if fits else own[name]
      np.testing.assert_array_equal(value, expected)
      if not fits:
        missed.add("/".join(key.key for key in name))
  assert missed  # the layer of the logits
  assert all(name in caplog.text for name in missed)
  jax.tree.map(np.testing.assert_array_equal, player.ema, player.variables)
  # The optimiser starts afresh.
  jax.tree.map(np.testing.assert_array_equal, player.opt_state, old.opt_state)
  assert start_from.identity(config)["start_from"]["name"] == str(path)


def test_one_mask_starts_from_the_mean_of_both_lungs():
  """Every side output is the mean logit of both lungs, plus 6."""
  several = Segmentor(progressive=True, base_width=2, depth=2, num_structures=3)
  image = np.random.default_rng(0).random((1, 16, 16, 1)).astype(np.float32)
  init = jax.jit(functools.partial(several.init, train=False))
  variables = jax.device_get(init(jax.random.key(0), image))
  found = start_from.united(variables, ("left_lung", "heart", "right_lung"))

  def outputs(network, of):
    return jax.jit(functools.partial(network.apply, train=False))(of, image)

  before = outputs(several, variables)
  after = outputs(several.clone(num_structures=1), found)
  for old, new in zip(before.side_logits, after.side_logits, strict=True):
    expected = (np.asarray(old[..., :1]) + np.asarray(old[..., 2:])) / 2 + 6
    np.testing.assert_allclose(new, expected, rtol=1e-5)
  assert start_from.united(variables, ("heart", "left_lung")) is variables


def test_nothing_is_changed_by_default():
  config = _config()
  state = object()
  assert start_from.start(config, state) is state
  assert start_from.identity(config) == {}


def test_another_network_is_refused(source):
  config = _config(base_width=2)
  config.train.start_from = str(source[0])
  with pytest.raises(ConfigError, match="base_width"):
    start_from.start(config, _state(config))


def test_what_does_not_exist_is_refused(tmp_path):
  config = _config()
  config.train.start_from = str(tmp_path / "nowhere")
  with pytest.raises(CheckpointError, match="nowhere"):
    start_from.start(config, None)
