"""Programs are shared by what they are made of, and by nothing else."""

import pytest

from apppau_jax.experiment.memoize import shared
from configs import base


@pytest.fixture
def build():
  """A builder of fresh objects, with the configurations it was given."""
  given = []

  @shared("model", "data.dataset")
  def make(config, *, size):
    given.append(config.to_dict())
    return object()

  make.given = given
  return make


def test_runs_that_agree_get_the_same_object(build):
  config = base.get_config()
  first = build(config, size=1)
  config.seed = 5
  config.loss.name = "dice"
  config.data.label_seed = 3
  assert build(config, size=1) is first
  assert len(build.given) == 1


@pytest.mark.parametrize(
  ("key", "value"), [("model.base_width", 2), ("data.dataset", "jsrt")]
)
def test_a_key_that_is_read_tells_runs_apart(build, key, value):
  config = base.get_config()
  first = build(config, size=1)
  room, name = key.split(".")
  config[room][name] = value
  assert build(config, size=1) is not first
  assert build.given[1][room][name] == value
  assert build(base.get_config(), size=2) is not first


def test_only_the_named_keys_can_be_read():
  @shared("data.dataset")
  def careless(config):
    return config.data.resolution

  with pytest.raises(AttributeError):
    careless(base.get_config())
