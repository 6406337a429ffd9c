"""What is saved is restored bit for bit; a damaged step is passed over."""

import dataclasses
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.errors import CheckpointError, ResourceError
from apppau_jax.training import checkpoints

# When one array cannot be read, Orbax abandons the reads of the others, whose
# replies then find their event loop closed.
pytestmark = pytest.mark.filterwarnings(
  "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def saved_once(make_tiny, tmp_path_factory):
  """A folder with steps 1, 2, 3 and the trees saved there."""
  tiny = make_tiny()
  folder = tmp_path_factory.mktemp("saved") / "latest"
  store = checkpoints.Store(folder, keep=3)
  trees = {}
  for step in (1, 2, 3):
    # Large enough that Orbax keeps it in a data file of its own.
    tree = {"state": tiny.state(), "large": jnp.arange(100_000.0)}
    tree = jax.tree.map(lambda x, s=step: x + s, tree)
    store.save(tree, step=step, meta={"config": {"a": step}, "step": step})
    trees[step] = tree
  store.wait()
  store.close()
  return folder, trees


@pytest.fixture
def saved(saved_once, tmp_path):
  """A store of its own with these steps."""
  folder, trees = saved_once
  shutil.copytree(folder, tmp_path / "latest")
  return checkpoints.Store(tmp_path / "latest", keep=3), trees


def _array_files(store, step):
  files = (store.folder / str(step) / "tree").rglob("*")
  return [f for f in files if f.is_file() and "/d/" in f.as_posix()]


def _flip(path: pathlib.Path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 0x10
  path.write_bytes(data)


def test_restores_bit_for_bit(saved, assert_same):
  store, trees = saved
  tree, meta, step = store.restore(trees[1])
  assert step == 3
  assert meta == {"config": {"a": 3}, "step": 3}
  assert_same(tree, trees[3])


def test_never_saved_is_none(tiny, tmp_path):
  store = checkpoints.Store(tmp_path / "none")
  assert store.restore(tiny.state()) is None


def test_caller_may_donate_at_once(tmp_path):
  store = checkpoints.Store(tmp_path / "s")
  tree = {"w": jnp.arange(1_000_000.0)}
  store.save(tree, step=1, meta={})
  changed = jax.jit(lambda t: {"w": t["w"] * 0 - 1}, donate_argnums=0)(tree)
  jax.block_until_ready(changed)
  store.wait()
  restored, _, _ = store.restore(changed)
  np.testing.assert_array_equal(restored["w"], np.arange(1_000_000.0))


def test_flipped_byte_falls_back(saved, assert_same, caplog):
  store, trees = saved
  largest = max(_array_files(store, 3), key=lambda f: f.stat().st_size)
  assert largest.stat().st_size > 10_000
  _flip(largest)
  tree, _, step = store.restore(trees[1])
  assert step == 2
  assert_same(tree, trees[2])
  assert "step 3" in caplog.text
  kept = store.folder.parent / "latest-damaged-3"
  assert kept.is_dir()
  # The damaged step is out of the way: it can be saved again.
  store.save(trees[3], step=3, meta={})
  store.wait()
  tree, _, step = store.restore(trees[1])
  assert step == 3
  assert_same(tree, trees[3])


def test_a_step_may_be_damaged_again(saved, assert_same):
  store, trees = saved
  for count in (1, 2, 3):
    _flip(max(_array_files(store, 3), key=lambda f: f.stat().st_size))
    assert store.restore(trees[1])[2] == 2
    kept = sorted(p.name for p in store.folder.parent.glob("*-damaged-*"))
    assert len(kept) == count
    store.save(trees[3], step=3, meta={})
    store.wait()
  assert kept == [f"latest-damaged-3{end}" for end in ("", "-2", "-3")]
  assert_same(store.restore(trees[1])[0], trees[3])


def test_a_full_disk_is_an_error_of_its_own(saved, monkeypatch):
  """What TensorStore says of ENOSPC, as Orbax hands it on."""
  store, _ = saved

  def full():
    raise ValueError(
      "RESOURCE_EXHAUSTED: Error writing local file: No space left on device "
      "[os_error_code='28']"
    )

  monkeypatch.setattr(store._manager, "wait_until_finished", full)
  with pytest.raises(ResourceError, match="latest is full"):
    store.wait()


def test_missing_files_fall_back(saved):
  store, trees = saved
  for file in _array_files(store, 3):
    file.unlink()
  _, _, step = store.restore(trees[1])
  assert step == 2


def test_all_damaged_is_an_error_and_nothing_is_deleted(saved):
  store, trees = saved
  for step in (1, 2, 3):
    for file in _array_files(store, step):
      file.write_bytes(b"")
  with pytest.raises(CheckpointError, match="No usable checkpoint"):
    store.restore(trees[1])
  assert store.steps() == [1, 2, 3]


def test_another_model_is_an_error(saved):
  store, _ = saved
  with pytest.raises(CheckpointError, match="another model"):
    store.restore({"other": jnp.zeros(3)})


@dataclasses.dataclass(frozen=True)
class Fields:
  """The layout of a state up to commit a8cc4b2."""

  step: jax.Array
  segmentor: object
  discriminator: object = None


jax.tree_util.register_dataclass(
  Fields, ["step", "segmentor", "discriminator"], []
)


@pytest.mark.parametrize("with_d", [True, False])
def test_a_step_saved_with_fields_for_players_restores(
  game, tmp_path, assert_same, with_d
):
  state = jax.jit(game.init)()
  if not with_d:
    del state.players["discriminator"]
  state.players["segmentor"].params["large"] = jnp.arange(100_000.0)
  store = checkpoints.Store(tmp_path / "latest", keep=3)
  old = Fields(state.step, **state.players)
  for step in (1, 2):
    moved = jax.tree.map(lambda x, s=step: x + s, old)
    store.save(moved, step=step, meta={})
  store.wait()
  names = checkpoints._digests(old)
  assert ".segmentor.params['Conv_0']['kernel']" in names
  found, _, step = store.restore(state)
  assert step == 2
  assert_same(found, jax.tree.map(lambda x: x + 2, state))
  store.save(found, step=3, meta={})  # goes on in the present layout
  store.wait()
  assert_same(store.restore(state)[0], found)
  for damaged in (3, 2):  # the checksums of both layouts are verified
    files = _array_files(store, damaged)
    _flip(max(files, key=lambda f: f.stat().st_size))
  assert store.restore(state)[2] == 1


def test_keeps_the_newest(tiny, tmp_path):
  store = checkpoints.Store(tmp_path / "latest", keep=2)
  state = tiny.state()
  for step in (1, 2, 3, 4):
    store.save(state, step=step, meta={})
  store.wait()
  assert store.steps() == [3, 4]


def test_restores_onto_other_devices(tiny, tmp_path, assert_same):
  """Saved from one device, restored on two, and back."""
  one, two = tiny.state(1), tiny.state(2)
  store = checkpoints.Store(tmp_path / "latest")
  store.save(one, step=1, meta={})
  store.wait()
  restored, _, _ = store.restore(two)
  assert_same(restored, one)
  leaf = jax.tree.leaves(restored)[0]
  assert len(leaf.sharding.device_set) == 2
  store.save(restored, step=2, meta={})
  store.wait()
  back, _, step = store.restore(one)
  assert step == 2
  assert_same(back, one)


def test_a_reader_changes_nothing(saved, assert_same):
  store, trees = saved
  for file in _array_files(store, 3):
    file.unlink()
  unfinished = store.folder / "9.orbax-checkpoint-tmp"
  unfinished.mkdir()
  before = sorted(p.name for p in store.folder.parent.rglob("*"))
  reader = checkpoints.Store(store.folder, read_only=True)
  tree, _, step = reader.restore(trees[1])
  assert step == 2
  assert_same(tree, trees[2])
  assert sorted(p.name for p in store.folder.parent.rglob("*")) == before


def test_an_earlier_step_than_those_at_hand_is_refused(saved):
  store, trees = saved
  with pytest.raises(CheckpointError, match="Step 0 was not saved"):
    store.save(trees[1], step=0, meta={})
  store.forget_after(1)
  assert store.steps() == [1]


@pytest.mark.parametrize(
  "name",
  [
    "runs [1]",
    "[a-z]*",
    "a?b",
    "[!x]",
    "a b#%25",
    "{a,b}",
    "-a",
    "研究",
    "'\"&;",
  ],
)
def test_any_name_of_a_folder(tmp_path, name):
  """Orbax took the path for a pattern, and saved steps without an index."""
  tree = {"w": jnp.arange(6.0), "large": jnp.arange(100_000)}
  # What the name would match as a pattern is another run's.
  for other in ("runs 1", "ab", "axb", name):
    store = checkpoints.Store(tmp_path / other / "latest")
    moved = jax.tree.map(lambda x, n=other: x + len(n), tree)
    store.save(moved, step=1, meta={"name": other})
    store.close()
  reader = checkpoints.Store(tmp_path / name / "latest", read_only=True)
  found, meta, step = reader.restore(tree)
  assert (meta["name"], step) == (name, 1)
  np.testing.assert_array_equal(found["w"], np.arange(6.0) + len(name))
  assert (tmp_path / name / "latest/1/tree/manifest.ocdbt").exists()


@pytest.mark.parametrize(
  ("tree", "says"), [({}, "0 of 1 arrays"), (None, "NOT_FOUND")]
)
def test_a_first_step_that_cannot_be_found_again_ends_the_run(
  tmp_path, monkeypatch, tree, says
):
  store = checkpoints.Store(tmp_path / "latest")

  def metadata(step):
    if tree is None:
      raise ValueError("NOT_FOUND: no index\nmore")
    return {"tree": tree}

  with monkeypatch.context() as patch:
    patch.setattr(store._manager, "item_metadata", metadata)
    with pytest.raises(CheckpointError, match=f"Step 1 .*{says}"):
      store.save({"w": jnp.ones(3)}, step=1, meta={})
  store.save({"w": jnp.ones(3)}, step=2, meta={})
  store.close()
