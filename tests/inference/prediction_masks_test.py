import io

import numpy as np
import pytest

from apppau_jax.errors import DataError
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


def _archive(**changed):
  """The content of a file of two masks of 3 x 5 pixels, with changes."""
  good = {
    "ids": np.array(["a", "b"]),
    "shape": np.array([2, 3, 5]),
    "bits": np.zeros(4, np.uint8),
  }
  content = io.BytesIO()
  np.savez_compressed(content, **(good | changed))
  return content.getvalue()


@pytest.mark.parametrize(
  "content",
  [
    *(b"", b"not a zip", _archive()[:-30], _archive()[:60]),
    _archive(ids=np.array(["a", None], object)),
    _archive(ids=np.array([1, 2])),
    _archive(ids=np.array(["a", "a"])),
    _archive(ids=np.array(["a"])),
    _archive(shape=np.array([2, -1, 5])),
    _archive(shape=np.array([2, 3, 5, 1])),
    _archive(shape=np.array([2.0, 3.0, 5.0])),
    _archive(shape=np.array(30)),
    _archive(shape=np.array([2, 2**40, 2**40])),
    _archive(bits=np.zeros(3, np.uint8)),
    _archive(bits=np.zeros(5, np.uint8)),
    _archive(bits=np.zeros((2, 2), np.uint8)),
    _archive(bits=np.zeros(4)),
    _archive(bits=np.array([0, 0, 0, None])),
  ],
)
def test_a_damaged_file_is_named(tmp_path, content):
  path = tmp_path / "predictions.npz"
  path.write_bytes(_archive())
  assert [
    m.shape for m in prediction_masks.read_predictions(path).values()
  ] == [
    (3, 5),
    (3, 5),
  ]
  path.write_bytes(content)
  with pytest.raises(
    DataError, match=r"predictions\.npz cannot be read: .*launch"
  ):
    prediction_masks.read_predictions(path)


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
  with pytest.raises(DataError, match="cannot be read"):
    prediction_masks.read_predictions(tmp_path)
