import numpy as np

from apppau_jax.evaluation import saved


def test_masks_come_back_bit_by_bit(tmp_path):
  masks = np.random.default_rng(0).random((3, 5, 7)) < 0.5  # 105 bits
  path = tmp_path / "deep" / "predictions.npz"
  saved.write_predictions(path, ids=["a", "b/ü", "c"], prediction=masks)
  found = saved.read_predictions(path)
  assert list(found) == ["a", "b/ü", "c"]
  np.testing.assert_array_equal(np.stack([*found.values()]), masks)
  content = path.read_bytes()
  saved.write_predictions(path, ids=["a", "b/ü", "c"], prediction=masks)
  assert path.read_bytes() == content


def test_nothing_was_saved(tmp_path):
  assert saved.read_predictions(tmp_path / "none.npz") == {}
