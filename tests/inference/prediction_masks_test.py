import numpy as np

from apppau_jax.inference import prediction_masks


def test_masks_come_back_bit_by_bit(tmp_path):
  masks = np.random.default_rng(0).random((3, 5, 7)) < 0.5  # 105 bits
  path, ids = tmp_path / "deep" / "predictions.npz", ["a", "b/ü", "c"]
  contents = set()
  for _ in range(2):
    prediction_masks.write_predictions(path, ids=ids, prediction=masks)
    contents.add(path.read_bytes())
  assert len(contents) == 1
  found = prediction_masks.read_predictions(path)
  assert list(found) == ids
  np.testing.assert_array_equal(np.stack([*found.values()]), masks)
  assert prediction_masks.read_predictions(tmp_path / "none.npz") == {}
