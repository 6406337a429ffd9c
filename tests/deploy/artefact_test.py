"""Exported folders: the same predictions, one clear error for each fault."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import apppau_jax
from apppau_jax.deploy import artefact
from apppau_jax.deploy import export as export_lib
from apppau_jax.deploy.model_card import Card
from apppau_jax.errors import CheckpointError


@pytest.mark.parametrize("size", [(16, 16), (40, 25), (7, 90), (1, 33)])
def test_the_loaded_export_predicts_as_the_model(exported, model, film, size):
  loaded = apppau_jax.load(exported)
  image = film(*size)
  one, other = model.predict(image), loaded.predict(image)
  np.testing.assert_allclose(other.probability, one.probability, atol=1e-5)
  np.testing.assert_allclose(
    other.class_probability, one.class_probability, atol=1e-5
  )
  sure = np.abs(one.probability - model.threshold) > 1e-4
  if sure.all():
    np.testing.assert_array_equal(other.mask, one.mask)
  assert other.structures == ("left_lung", "right_lung")
  assert other.classes == ("normal", "tb")


def test_an_export_gives_findings_probabilities_of_their_own(
  model, film, tmp_path
):
  several = dataclasses.replace(model, multi_label=True)
  export_lib.write(
    several, tmp_path, version="0", identity={}, card=Card(), onnx=False
  )
  image = film(16, 16)
  one, other = several.predict(image), apppau_jax.load(tmp_path).predict(image)
  np.testing.assert_allclose(
    other.class_probability, one.class_probability, atol=1e-5
  )
  assert other.class_probability.sum() != pytest.approx(1, abs=1e-3)
  assert "sums to 1" not in (tmp_path / artefact.CARD).read_text()


def test_settings_are_those_of_the_model(exported, model):
  loaded = artefact.load(exported)
  for name in ("resolution", "bits", "threshold", "largest_components"):
    assert getattr(loaded, name) == getattr(model, name)
  assert "Exported" in repr(loaded)
  with pytest.raises(ValueError, match="own masks"):
    loaded.classify(np.zeros((1, 16, 16, 1), np.uint8), np.ones((1, 16, 16, 2)))


def _cut(folder):
  path = folder / artefact.STABLEHLO
  path.write_bytes(path.read_bytes()[:-100])


def _flip(folder):
  path = folder / artefact.STABLEHLO
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def _remove(folder):
  (folder / artefact.STABLEHLO).unlink()


def _facts(**changes):
  def change(folder):
    path = folder / artefact.FACTS
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

  return change


def _cut_facts(folder):
  path = folder / artefact.FACTS
  path.write_text(path.read_text()[:100])


def _grow_facts(folder):
  path = folder / artefact.FACTS
  path.write_text(path.read_text() + " " * 2**21)


@pytest.mark.parametrize(
  ("damage", "named"),
  [
    (_cut, r"model\.stablehlo has .* states"),
    (_flip, r"model\.stablehlo .*SHA-256"),
    (_remove, r"model\.stablehlo .*missing"),
    (_facts(files={}), r"does not list"),
    (_cut_facts, r"model\.json"),
    (_grow_facts, r"model\.json is larger"),
    (_facts(format="apppau_jax export 2"), "export 2"),
    (_facts(resolution=10**9), "resolution 1000000000"),
    (_facts(bits=12), "bits 12"),
    (_facts(threshold=7.0), r"threshold 7\.0"),
    (_facts(structures="os.system"), "structures"),
    (_facts(structures=["a"] * 1000), "structures"),
    (_facts(classes=["a", "b", "c"]), "does not compute"),
    (_facts(structures=[]), "does not compute"),
    (_facts(bits=16), "does not compute"),
  ],
)
def test_damaged_exports_are_refused_by_name(copy, damage, named):
  damage(copy)
  with pytest.raises(CheckpointError, match=named) as error:
    apppau_jax.load(copy)
  assert "launch.export" in str(error.value)


def _serialized(function, *, platforms=("cpu",)):
  shape = export.symbolic_shape("h, w")
  found = export.export(
    jax.jit(function),
    platforms=platforms,
    disabled_checks=[
      export.DisabledSafetyCheck.custom_call("apppau_test_call")
    ],
  )(jax.ShapeDtypeStruct(shape, np.uint8))
  return found.serialize()


def _probability(image):
  return {"probability": jnp.stack([image, image], -1) / jnp.float32(255)}


def test_a_program_for_another_platform_is_refused(replace_program):
  content = _serialized(_probability, platforms=("tpu", "cuda"))
  folder = replace_program(content, classes=[])
  with pytest.raises(CheckpointError, match=r"for tpu, cuda and .* cpu"):
    artefact.load(folder)


def test_a_program_that_calls_out_is_refused(replace_program):
  def calls(image):
    call = jax.ffi.ffi_call("apppau_test_call", jax.typeof(image))
    return _probability(call(image))

  folder = replace_program(_serialized(calls), classes=[])
  with pytest.raises(CheckpointError, match="custom_call"):
    artefact.load(folder)


def test_an_expired_program_is_refused_with_both_versions(
  replace_program, monkeypatch
):
  content = _serialized(_probability)
  folder = replace_program(content, classes=[], versions={"jax": "0.4.99"})
  assert artefact.load(folder).structures  # of this version it is read
  least = export.maximum_supported_calling_convention_version + 1
  monkeypatch.setattr(
    "jax.export.minimum_supported_calling_convention_version", least
  )
  with pytest.raises(CheckpointError, match=r"JAX 0\.4\.99 .*read by JAX"):
    artefact.load(folder)


@pytest.mark.parametrize("content", [b"", b"\x00" * 999, b"not a program" * 9])
def test_what_is_no_program_is_refused(replace_program, content):
  with pytest.raises(CheckpointError, match=r"model\.stablehlo"):
    artefact.load(replace_program(content))
