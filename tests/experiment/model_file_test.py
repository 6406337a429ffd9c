"""A model in one file: what is written is read, all else is refused."""

import copy
import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy

from apppau_jax.config import Config
from apppau_jax.errors import CheckpointError
from apppau_jax.experiment import loading, model_file, restoring
from apppau_jax.experiment.model_file import ModelFile


@pytest.fixture(scope="module")
def trained():
  """A two-player run of five structures, its weights drawn by NumPy."""
  config = Config()
  config.model.preset, config.model.base_width = "unet", 1
  config.data.resolution = 128
  config.data.structures = ("left_lung", "heart")
  config.eval.largest_components = 1
  rng = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: rng.uniform(0.1, 1.0, leaf.shape).astype(np.float32),
    restoring.shapes(config).averages,
  )
  return ModelFile(
    config=config, variables=variables, temperature=1.5, step=7, card={"a": 1}
  )


@pytest.fixture(scope="module")
def read(trained):
  """Reads a file of the networks of `trained`, without tracing them again."""
  shapes = trained.variables
  return lambda path: model_file.read(path, lambda config: shapes)


def test_what_is_written_is_read(trained, tmp_path, assert_same):
  path = tmp_path / "model.safetensors"
  model_file.write(path, trained)
  found = loading.read(pathlib.Path(path))
  assert_same(found.variables, trained.variables)
  assert found.config.to_dict() == trained.config.to_dict()
  assert (found.temperature, found.step, found.card) == (1.5, 7, {"a": 1})
  model = loading.load(path)
  assert model.structures == ("left_lung", "heart")
  assert model.largest_components == 1
  # Its identity is that of the bytes.
  before = loading.load_runs([path]).identity()
  model_file.write(path, trained, half=True)
  assert loading.load_runs([path]).identity() != before


def test_no_folder_of_the_machine_is_written(trained, tmp_path):
  config = copy.deepcopy(trained.config)
  config.data.data_dir = config.train.start_from = "/a/private/place"
  path = tmp_path / "model.safetensors"
  model_file.write(path, dataclasses.replace(trained, config=config))
  assert b"private" not in path.read_bytes()
  assert config.data.data_dir == "/a/private/place"


def test_half_precision_halves_the_file_and_rounds(trained, read, tmp_path):
  full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
  model_file.write(full, trained)
  model_file.write(half, trained, half=True)
  arrays = [safetensors.numpy.load_file(path) for path in (full, half)]
  size = sum(value.nbytes for value in arrays[0].values())
  assert full.stat().st_size - half.stat().st_size == pytest.approx(size / 2, 1)
  for name, value in arrays[0].items():
    np.testing.assert_array_equal(value.astype(np.float16), arrays[1][name])
  leaf = jax.tree.leaves(read(half).variables)[0]
  assert leaf.dtype == np.float32


def test_a_model_predicts_at_the_size_of_the_image(trained, tmp_path):
  path = tmp_path / "model.safetensors"
  model_file.write(path, trained)
  image = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)
  found = loading.load(path).predict(image)
  assert found.mask.shape == (40, 60, 2)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.9, 0.9999])
def test_cut_files_are_refused_by_name(trained, read, tmp_path, share):
  path = tmp_path / "model.safetensors"
  model_file.write(path, trained)
  content = path.read_bytes()
  path.write_bytes(content[: int(share * len(content))])
  with pytest.raises(CheckpointError, match=r"model\.safetensors"):
    read(path)


def _with(trained, path, *, metadata=None, arrays=None):
  model_file.write(path, trained)
  tensors = safetensors.numpy.load_file(path)
  with safetensors.safe_open(path, framework="np") as file:
    text = file.metadata()
  tensors = (arrays or (lambda a: a))(tensors)
  text = (metadata or (lambda m: m))(text)
  safetensors.numpy.save_file(tensors, path, metadata=text)


def _without_first(arrays):
  return dict(list(arrays.items())[1:])


def _first_of_another_shape(arrays):
  name = next(iter(arrays))
  return arrays | {name: np.zeros((3, 2, 1), np.float32)}


def _with_nan(arrays):
  name, value = next(iter(arrays.items()))
  return arrays | {name: np.full_like(value, np.nan)}


@pytest.mark.parametrize(
  ("changed", "named"),
  [
    ({"arrays": _without_first}, "differ"),
    ({"arrays": lambda a: a | {"more": np.zeros(1)}}, "more"),
    ({"arrays": _first_of_another_shape}, r"\(3, 2, 1\)"),
    ({"metadata": lambda m: m | {"format": "other 1"}}, "other 1"),
    ({"metadata": lambda m: m | {"config": "{"}}, "model"),
    ({"metadata": lambda m: m | {"config": "[1]"}}, "model"),
    ({"metadata": lambda m: m | {"config": json.dumps({"x": 1})}}, "x"),
    ({"metadata": lambda m: m | {"step": "many"}}, "many"),
    ({"metadata": lambda m: m | {"step": "-1"}}, "step -1"),
    ({"metadata": lambda m: m | {"temperature": "nan"}}, "temperature nan"),
    ({"metadata": lambda m: m | {"temperature": "0"}}, r"temperature 0\.0"),
    ({"arrays": _with_nan}, "not finite"),
    ({"metadata": lambda m: {"format": m["format"]}}, "config"),
  ],
)
def test_other_content_is_refused(trained, read, tmp_path, changed, named):
  path = tmp_path / "model.safetensors"
  _with(trained, path, **changed)
  with pytest.raises(CheckpointError, match=named):
    read(path)


@pytest.mark.parametrize("arrays", [_without_first, _first_of_another_shape])
def test_a_model_of_other_arrays_is_not_loaded(trained, tmp_path, arrays):
  path = tmp_path / "model.safetensors"
  _with(trained, path, arrays=arrays)
  with pytest.raises(CheckpointError, match=r"model\.safetensors.*arrays"):
    loading.load(path)
