import numpy as np

from apppau_jax.inference import prediction_masks


def test_masks_come_back_bit_by_bit(tmp_path):
  masks = np.random.default_rng(0).random((3, 5, 7)) < 0.5  # 105 bits
  path = tmp_path / "deep" / "predictions.npz"
  prediction_masks.write_predictions(
    path, ids=["a", "b/ü", "c"], prediction=masks
  )
  found = prediction_masks.read_predictions(path)
  assert list(found) == ["a", "b/ü", "c"]
  np.testing.assert_array_equal(np.stack([*found.values()]), masks)
  content = path.read_bytes()
  prediction_masks.write_predictions(
    path, ids=["a", "b/ü", "c"], prediction=masks
  )
  assert path.read_bytes() == content


def test_nothing_was_saved(tmp_path):
  assert prediction_masks.read_predictions(tmp_path / "none.npz") == {}
