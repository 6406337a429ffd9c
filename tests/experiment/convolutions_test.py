"""The backend of the convolutions that a configuration selects."""

import pytest

from apppau_jax.errors import ConfigError
from apppau_jax.experiment import cost, networks
from apppau_jax.models import blocks
from apppau_jax.onednn import bridge, operations
from configs import base


@pytest.fixture
def config():
  made = base.get_config()
  made.model.preset = "unet"
  made.model.base_width = 2
  made.data.resolution = 32
  made.train.batch_size = 4
  return made


@pytest.fixture(params=["", "there is none"])
def why(request, monkeypatch):
  monkeypatch.setattr(bridge, "why_not", lambda: request.param)
  return request.param


def test_auto_takes_onednns_where_they_are(config, why):
  chosen = networks.segmentor(config).operations
  assert chosen is (blocks.XLA if why else operations.OPERATIONS)
  said = networks.convolutions_by(config)
  assert said == ("XLA (not oneDNN: there is none)" if why else "oneDNN")


def test_xlas_where_asked_for(config, why):
  config.model.convolutions = "xla"
  assert networks.segmentor(config).operations is blocks.XLA
  assert networks.convolutions_by(config) == "XLA"


def test_onednns_or_an_error_that_says_why(config, why):
  config.model.convolutions = "onednn"
  if why:
    with pytest.raises(ConfigError, match="there is none"):
      networks.segmentor(config)
  else:
    chosen = networks.segmentor(config).operations
    assert chosen is operations.OPERATIONS


def test_both_players_have_the_same(config, monkeypatch):
  monkeypatch.setattr(bridge, "why_not", lambda: "")
  config.discriminator.enabled = True
  chosen = networks.discriminator(config).operations
  assert chosen is operations.OPERATIONS


def test_operations_are_counted_whoever_does_them(config, monkeypatch):
  counts = []
  for why in ("", "there is none"):
    monkeypatch.setattr(bridge, "why_not", lambda why=why: why)
    counts.append(cost.flops(config, images=8))
  assert counts[0] == counts[1] > 1e6
