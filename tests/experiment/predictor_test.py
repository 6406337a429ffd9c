"""What predicts: runs, or one exported model that is used as it is."""

import hashlib

import numpy as np
import pytest
from fixtures import tiny_models

from apppau_jax.deploy import artefact, export
from apppau_jax.deploy.model_card import Card
from apppau_jax.errors import CheckpointError, ConfigError
from apppau_jax.experiment import predictor


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
  folder = tmp_path_factory.mktemp("exported") / "model"
  model = tiny_models.ensemble()
  export.write(model, folder, version="0", identity={}, card=Card(), onnx=False)
  return model, folder


def test_an_exported_model_predicts_as_the_runs_did(exported):
  model, folder = exported
  found = predictor.load([str(folder)])
  film = tiny_models.film(40, 30)
  np.testing.assert_allclose(
    found.model.predict(film).probability,
    model.predict(film).probability,
    atol=1e-4,
  )
  content = (folder / artefact.FACTS).read_bytes()
  digest = hashlib.sha256(content).hexdigest()
  assert found.identity == {"export_sha256": digest}


def test_it_is_neither_averaged_nor_changed(exported):
  _, folder = exported
  with pytest.raises(ConfigError, match="averaged"):
    predictor.load(["box", folder])
  with pytest.raises(ConfigError, match="changed"):
    predictor.load([folder], changes={"eval.threshold": 0.4})


def test_a_folder_of_neither_kind_is_refused(tmp_path):
  with pytest.raises(CheckpointError, match="no trained run"):
    predictor.load([tmp_path])
