"""A tiny ensemble with two structures and two classes, and its export."""

import json

import pytest
from fixtures import tiny_models

from apppau_jax.deploy import artefact, export
from apppau_jax.deploy.model_card import Card


@pytest.fixture(scope="session")
def model():
  return tiny_models.ensemble()


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
  """The folder of the model's export, without ONNX."""
  folder = tmp_path_factory.mktemp("exported")
  export.write(
    model, folder, version="0", identity={"step": 7}, card=Card(), onnx=False
  )
  return folder


@pytest.fixture
def copy(exported, tmp_path):
  """A copy of the exported folder, to be damaged."""
  folder = tmp_path / "copy"
  folder.mkdir()
  for path in exported.iterdir():
    (folder / path.name).write_bytes(path.read_bytes())
  return folder


@pytest.fixture
def replace_program(copy):
  """Puts another program into the copy, with the right digest."""

  def replace(content, **facts):
    (copy / artefact.STABLEHLO).write_bytes(content)
    path = copy / artefact.FACTS
    stated = json.loads(path.read_text()) | facts
    stated["files"][artefact.STABLEHLO] = artefact.describe(content)
    path.write_text(json.dumps(stated))
    return copy

  return replace


@pytest.fixture(scope="session")
def film():
  return tiny_models.film
