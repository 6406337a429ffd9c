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


def test_probabilities_are_levels_of_16_bits(tmp_path):
  prob = np.array([0.0, 0.5, 1.0, 0.25], np.float32).reshape(1, 2, 2, 1)
  parts = [prediction_masks.as_levels(p) for p in (prob, 1 - prob)]
  path = tmp_path / "p.npz"
  prediction_masks.write_probabilities(path, ids=["a", "b"], parts=parts)
  with np.load(path) as content:
    assert content["ids"].tolist() == ["a", "b"]
    assert content["probability"].shape == (2, 2, 2)
    np.testing.assert_allclose(
      content["probability"] / 65535,
      [prob[0, ..., 0], 1 - prob[0, ..., 0]],
      atol=1 / 65535,
    )
