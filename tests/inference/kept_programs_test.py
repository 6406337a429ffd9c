"""Kept programs: the same outputs, and files that cannot mislead."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.inference import kept_programs, steps
from apppau_jax.models.blocks import XLA
from apppau_jax.models.segmentor import Segmentor


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """Makes an empty folder JAX's compilation cache."""
  before = jax.config.jax_compilation_cache_dir
  jax.config.update("jax_compilation_cache_dir", str(tmp_path))
  yield tmp_path / kept_programs.FOLDER
  jax.config.update("jax_compilation_cache_dir", before)


def _program(traced, *, of=()):
  """A new compiled function, as a new process would have it."""

  def double(variables, x):
    traced.append(x.shape)
    return {"y": variables["w"] * x, "z": (x.sum(),)}

  return kept_programs.Kept(double, of=("double", *of))


def _run(traced, *, rows=1, of=()):
  x = np.arange(3.0 * rows, dtype=np.float32).reshape(rows, 3)
  found = _program(traced, of=of)({"w": np.float32(2)}, x)
  np.testing.assert_array_equal(found["y"], 2 * x)
  np.testing.assert_array_equal(found["z"][0], x.sum())


def test_a_second_process_does_not_trace(folder):
  traced = []
  _run(traced)
  assert len(traced) == 1
  assert len([*folder.iterdir()]) == 1
  _run(traced)
  assert len(traced) == 1


@pytest.mark.parametrize(
  "damage",
  [
    lambda content: b"",
    lambda content: content[:40],
    lambda content: content[:-1],
    lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:],
    # Intact, but no program.
    lambda content: hashlib.sha256(b"no").digest() + b"no",
  ],
)
def test_a_damaged_file_is_replaced(folder, damage):
  traced = []
  _run(traced)
  (path,) = folder.iterdir()
  good = path.read_bytes()
  path.write_bytes(damage(good))
  _run(traced)
  assert len(traced) == 2
  assert (
    path.read_bytes()[:32] == hashlib.sha256(path.read_bytes()[32:]).digest()
  )
  assert len(path.read_bytes()) > 100
  _run(traced)
  assert len(traced) == 2


def test_other_code_options_or_shapes_are_another_program(folder, monkeypatch):
  traced = []
  _run(traced)
  _run(traced, of=(0.5,))
  monkeypatch.setattr(kept_programs, "_code", lambda: "changed")
  _run(traced)
  assert len(traced) == 3
  assert len([*folder.iterdir()]) == 3


@pytest.mark.parametrize("of", [(object(),), (lambda x: x,), (np.float32,)])
def test_what_is_not_known_is_not_kept(folder, of):
  _run([], of=of)
  assert not folder.exists()


def test_on_a_chosen_device_nothing_is_kept(folder):
  with jax.default_device(jax.devices()[1]):
    _run([])
  assert not folder.exists()


def test_several_rows_and_no_cache_are_not_kept(folder, monkeypatch):
  _run([], rows=2)
  assert not folder.exists()
  monkeypatch.chdir(folder.parent)
  for elsewhere in (None, "gs://bucket/cache"):
    jax.config.update("jax_compilation_cache_dir", elsewhere)
    _run([])
    assert not [*folder.parent.iterdir()]


def test_shapes_are_those_of_a_call_and_need_no_second_trace(folder):
  traced, x = [], jax.ShapeDtypeStruct((1, 3), np.float32)
  w = {"w": np.float32(2)}
  expected = jax.eval_shape(lambda x: {"y": 2 * x, "z": (x.sum(),)}, x)
  for _ in range(2):
    program = _program(traced)
    found = program.shapes(w, x)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
      assert (one.shape, one.dtype) == (other.shape, other.dtype)
    program(w, np.ones((1, 3), np.float32))
  assert len(traced) == 1
  two = _program(traced).shapes(w, jax.ShapeDtypeStruct((2, 3), np.float32))
  assert two["y"].shape == (2, 3)


def test_within_another_program_it_is_traced(folder):
  """An export must see the operations and not a call of a program."""
  traced, x = [], np.ones((1, 3), np.float32)
  program = _program(traced)
  program({"w": np.float32(2)}, x)
  inside = jax.make_jaxpr(lambda x: program({"w": np.float32(2)}, x))(x)
  assert "call_exported" not in str(inside)
  assert "mul" in str(inside)


def test_a_folder_that_cannot_be_written_costs_nothing_else(folder):
  folder.write_text("a file")
  traced = []
  _run(traced)
  _run(traced)
  assert len(traced) == 2


def test_a_network_from_a_file_gives_the_same_masks(folder, assert_same):
  """Against `apply`, and the file is read: its programs are of one network."""
  network = Segmentor(
    pyramid=True, progressive=True, attention=True, base_width=2, depth=1
  )
  image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 1), np.uint8)
  image[0, 0, :2, 0] = 0, 255
  unit = jnp.asarray(image, jnp.float32) / 255
  init = jax.jit(lambda key: network.init(key, unit, train=False))
  variables = jax.tree.map(np.asarray, init(jax.random.key(0)))
  apply = jax.jit(lambda *x: network.apply(*x, train=False))
  found = []
  for _ in range(2):
    steps.segment_step.cache_clear()
    found.append(steps.segment_step(network)(variables, image))
  assert len([*folder.iterdir()]) == 1
  assert_same(found[0], found[1])
  expected = apply(variables, unit)
  np.testing.assert_allclose(found[1].logits, expected.logits, atol=1e-5)
  jax.config.update("jax_compilation_cache_dir", None)
  traced = steps.segment_step(network)(variables, image)  # not kept
  np.testing.assert_allclose(found[1].logits, traced.logits, atol=1e-6)
  np.testing.assert_array_equal(found[1].logits > 0, traced.logits > 0)
  assert found[1].attention.keys() == expected.attention.keys()
  # The operations are part of the name.
  other = network.clone(operations=XLA._replace(up=jax.lax.conv))
  names = [
    kept_programs._name((net,), (variables, image)) for net in (network, other)
  ]
  assert names[0] != names[1]
  steps.segment_step.cache_clear()
