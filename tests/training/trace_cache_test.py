"""Programs kept on disk: taken where nothing has changed, and nowhere else."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import apppau_jax
from apppau_jax.training import optimizers, parallel, trace_cache

_sources = trace_cache._sources.__wrapped__  # each time anew
X = np.linspace(-2.0, 2.0, 7, dtype=np.float32)


def _gradient(x, scale):
  """Something that differs in its last bits if it is not the same program."""

  def loss(x):
    return jnp.sum(jnp.tanh(x * scale) ** 2)

  return {"value": loss(x), "gradient": jax.grad(loss)(x)}


def _never(*args):
  raise AssertionError("traced")


def _run(function, *args, name):
  """As a new process would: nothing is known to JAX yet."""
  return jax.jit(trace_cache.keep(function, name=name))(*args)


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
  """Where programs are kept; this process has two devices, a user's one."""
  monkeypatch.setattr(trace_cache, "_sources", lambda: "sources")
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  before = jax.config.jax_compilation_cache_dir
  jax.config.update("jax_compilation_cache_dir", str(tmp_path))
  yield tmp_path / "traced"
  jax.config.update("jax_compilation_cache_dir", before)


def _files(folder):
  return sorted(folder.iterdir()) if folder.exists() else []


def test_traced_once(folder, assert_same):
  first = _run(_gradient, X, 3.0, name="a")
  assert len(_files(folder)) == 1
  assert_same(_run(_never, X, 3.0, name="a"), first)
  assert_same(first, jax.jit(_gradient)(X, 3.0))
  np.testing.assert_allclose(
    first["value"], np.sum(np.tanh(X * 3.0) ** 2), 1e-6
  )


@pytest.mark.parametrize(
  ("args", "name"),
  [
    ((X, 3.0), "b"),
    ((X, 3.0), {"a": 1}),
    ((X[:5], 3.0), "a"),
    ((X.astype(np.float16), 3.0), "a"),
    ((X, 3), "a"),
    (((X,), 3.0), "a"),
  ],
)
def test_another_name_shape_or_type_is_another_program(folder, args, name):
  _run(_gradient, X, 3.0, name="a")
  with pytest.raises(AssertionError, match="traced"):
    _run(_never, *args, name=name)


def test_other_sources_libraries_or_settings_are_another_program(
  folder, monkeypatch
):
  _run(_gradient, X, 3.0, name="a")
  changes = [
    lambda m: m.setattr(trace_cache, "_sources", lambda: "others"),
    lambda m: m.setattr(
      trace_cache.importlib.metadata, "version", lambda _: "0"
    ),
  ]
  for change in changes:
    with monkeypatch.context() as patched:
      change(patched)
      with pytest.raises(AssertionError, match="traced"):
        _run(_never, X, 3.0, name="a")
  with (
    jax.default_matmul_precision("float32"),
    pytest.raises(AssertionError, match="traced"),
  ):
    _run(_never, X, 3.0, name="a")
  _run(_never, X, 3.0, name="a")


@pytest.mark.parametrize("scale", [3.0, np.float32(3.0)])
def test_a_number_is_no_array(folder, scale):
  """Python's number takes the type of what it meets, an array has its own."""
  half = X.astype(np.float16)
  expected = jax.jit(_gradient)(half, scale)
  for function in (_gradient, _never):
    found = _run(function, half, scale, name="a")
    assert found["value"].dtype == expected["value"].dtype


def test_sources_are_hashed(tmp_path, monkeypatch):
  package = tmp_path / "apppau_jax"
  step = tmp_path / "launch/assemble/step.py"
  for path in (package / "losses/dice.py", step):
    path.parent.mkdir(parents=True)
    path.write_text("1")
  monkeypatch.setattr(trace_cache, "_PACKAGE", package)
  monkeypatch.setattr(apppau_jax, "LOADED_AT", time.time() + 60)
  hashes = [_sources()]
  step.write_text("2")
  hashes.append(_sources())
  step.rename(step.with_name("other.py"))
  hashes.append(_sources())
  (package / "new.py").write_text("")
  hashes.append(_sources())
  assert None not in hashes
  assert len(set(hashes)) == 4


def test_sources_edited_since_they_were_read_keep_nothing(
  folder, tmp_path, monkeypatch
):
  (tmp_path / "apppau_jax").mkdir()
  (tmp_path / "apppau_jax/step.py").write_text("edited just now")
  monkeypatch.setattr(trace_cache, "_PACKAGE", tmp_path / "apppau_jax")
  monkeypatch.setattr(trace_cache, "_sources", _sources)
  _run(_gradient, X, 3.0, name="a")
  assert not _files(folder)


def test_a_damaged_file_is_traced_and_written_anew(folder, assert_same):
  first = _run(_gradient, X, 3.0, name="a")
  (path,) = _files(folder)
  whole = path.read_bytes()
  for damaged in (b"", whole[: len(whole) // 2], whole[:-9] + b"\0" * 9):
    path.write_bytes(damaged)
    assert_same(_run(_gradient, X, 3.0, name="a"), first)
    assert_same(_run(_never, X, 3.0, name="a"), first)


def test_where_nothing_can_be_written_it_works_all_the_same(
  folder, assert_same
):
  folder.write_text("not a folder")
  assert_same(_run(_gradient, X, 3.0, name="a"), jax.jit(_gradient)(X, 3.0))


@pytest.mark.parametrize("without", ["name", "folder", "one device"])
def test_nothing_is_kept(folder, monkeypatch, without):
  if without == "folder":
    jax.config.update("jax_compilation_cache_dir", None)
  if without == "one device":
    monkeypatch.setattr(jax, "device_count", lambda: 2)
  name = None if without == "name" else "a"
  _run(_gradient, X, 3.0, name=name)
  assert not _files(folder)


def test_what_cannot_be_exported_is_traced(folder):
  @jax.tree_util.register_pytree_node_class
  class Unknown:
    def __init__(self, x):
      self.x = x

    def tree_flatten(self):
      return (self.x,), None

    @classmethod
    def tree_unflatten(cls, _, children):
      return cls(*children)

  np.testing.assert_array_equal(_run(Unknown, X, name="a").x, X)
  assert not _files(folder)


def test_an_error_of_the_function_is_its_own(folder):
  def wrong(x):
    raise ValueError("no such loss")

  with pytest.raises(ValueError, match="no such loss"):
    _run(wrong, X, name="a")


def test_states_of_players_and_their_optimisers_are_kept(
  folder, tiny, assert_same
):
  expected = tiny.state()
  mesh = tiny.mesh()
  made = parallel.make_init(tiny.init, mesh, name="init")()
  again = parallel.make_init(_never, mesh, name="init")()
  assert_same(made, expected)
  assert_same(again, expected)
  assert jax.tree.structure(again) == jax.tree.structure(expected)


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "grad_clip": 1}])
def test_every_optimiser_is_kept(folder, options, assert_same):
  transform = optimizers.make_optimizer(
    schedule=optimizers.make_schedule("cosine", learning_rate=1.0, steps=3),
    **options,
  )
  params = {"kernel": X[:, None], "bias": X}

  def descend(grads, state):
    updates, state = transform.update(grads, state, params)
    return optax.apply_updates(params, updates), state

  args = (params, transform.init(params))
  first = _run(descend, *args, name="descend")
  assert_same(_run(_never, *args, name="descend"), first)


@pytest.mark.parametrize("several", [1, 2])
def test_a_step_from_disk_is_the_step(
  folder, tiny, resident, several, assert_same
):
  rows = np.array([[0, 3, 1, 2], [4, 7, 6, 5]])

  def train(step, name):
    run = parallel.compile_train_step(
      step, tiny.mesh(), steps_per_call=several, name=name
    )
    state, metrics = tiny.state(), {}
    for call in rows if several == 1 else rows[None]:
      state, metrics = run(state, resident, call)
    return state, metrics

  first = train(tiny.step(), "step")
  assert len(_files(folder)) == 1
  assert_same(train(_never, "step"), first)
  assert_same(train(tiny.step(), None), first)  # kept or not, the same bits


def test_a_kept_step_is_for_one_shape(folder, tiny, resident):
  run = parallel.compile_train_step(tiny.step(), tiny.mesh(), name="step")
  state, _ = run(tiny.state(), resident, np.arange(4))
  with pytest.raises(RuntimeError, match="traced twice"):
    run(state, resident, np.arange(2))
