import json

import numpy as np
import pytest

from apppau_jax.datasets import raw_index
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.montgomery import MONTGOMERY, parse_reading
from apppau_jax.datasets.prepare import prepare
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.shenzhen import SHENZHEN
from apppau_jax.errors import DataError

IDS = ("MCUCXR_0001_0", "MCUCXR_0113_1", "MCUCXR_0117_1")


def _index(root):
  with RawSource(root) as source:
    return raw_index.index(source, MONTGOMERY)


def test_published_set_has_80_normal_and_58_tuberculous_films():
  assert len(MONTGOMERY.ids) == 138
  assert sum(i.endswith("_1") for i in MONTGOMERY.ids) == 58


def test_mask_is_the_union_of_both_lungs(raw_sets, tmp_path):
  raw = raw_sets.montgomery(tmp_path / "raw", IDS)
  summary = prepare(
    "montgomery", raw_dir=raw, data_dir=tmp_path, allow_missing=True
  )
  assert summary["counts"] == {
    "images": 3, "masks": 3, "normal": 1, "tb": 2, "unlabelled": 0,
    "missing": 135 * 1,
  }  # fmt: skip
  loaded = Dataset("montgomery", data_dir=tmp_path).open(IDS)
  for i, name in enumerate(IDS):
    left, right = raw_sets.lungs(name)
    assert loaded.mask[i].mean() == pytest.approx(
      (left.mean() + right.mean()), abs=0.01
    )
    # Enlarged by area, the centres of the raw pixels are found again.
    rows = (np.arange(left.shape[0]) + 0.5) * 128 / left.shape[0]
    columns = (np.arange(left.shape[1]) + 0.5) * 128 / left.shape[1]
    sampled = loaded.mask[i, ..., 0][
      np.ix_(rows.astype(int), columns.astype(int))
    ]
    np.testing.assert_array_equal(sampled, left | right)
  assert loaded.label.tolist() == [0, 1, 1]


def test_one_sided_mask_is_missing_and_never_half_a_mask(raw_sets, tmp_path):
  raw = raw_sets.montgomery(tmp_path, IDS)
  (raw / f"MontgomerySet/ManualMask/rightMask/{IDS[1]}.png").unlink()
  found = _index(raw)
  assert f"rightMask/{IDS[1]}.png" in found.missing
  assert [len(e.masks) for e in found.examples] == [2, 0, 2]
  assert found.unlabelled == ()


def test_missing_files_are_listed_unless_allowed(raw_sets, tmp_path):
  raw = raw_sets.montgomery(tmp_path / "raw", IDS)
  with pytest.raises(DataError, match="135 files") as caught:
    prepare("montgomery", raw_dir=raw, data_dir=tmp_path / "data")
  message = str(caught.value)
  assert "CXR_png/MCUCXR_0002_0.png" in message
  assert "and 115 more" in message
  listing = json.loads(
    (tmp_path / "data/montgomery/128/problems.json").read_text()
  )
  absent = set(MONTGOMERY.ids) - set(IDS)
  assert listing["missing"] == [f"CXR_png/{i}.png" for i in sorted(absent)]


def test_merged_masks_of_the_mirror_are_taken(raw_sets, tmp_path):
  name = IDS[0]
  raw_sets.png(tmp_path / f"CXR_png/{name}.png", raw_sets.image(name))
  mask = np.logical_or(*raw_sets.lungs(name))
  raw_sets.png(tmp_path / f"masks/{name}.png", mask)
  (example,) = _index(tmp_path).examples
  assert [key.split("::")[1] for key in example.masks] == [f"masks/{name}.png"]


def test_kaggles_folder_of_both_sets_holds_either(raw_sets, tmp_path):
  """CXR_png/ and masks/ of "Chest Xray Masks and Labels"."""
  montgomery, shenzhen = IDS[0], SHENZHEN.ids[0]
  for name, mask in ((montgomery, montgomery), (shenzhen, f"{shenzhen}_mask")):
    lungs = np.logical_or(*raw_sets.lungs(name))
    base = tmp_path / "Lung Segmentation"
    raw_sets.png(base / f"CXR_png/{name}.png", raw_sets.image(name))
    raw_sets.png(base / f"masks/{mask}.png", lungs)
  with RawSource(tmp_path) as source:
    for spec, name in ((MONTGOMERY, montgomery), (SHENZHEN, shenzhen)):
      (example,) = raw_index.index(source, spec).examples
      assert example.id == name
      assert example.has_mask


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    (
      "Patient's Sex: F \nPatient's Age: 027Y\nnormal\n",
      ("F", "27", "normal"),
    ),
    (
      "Patient's Sex: O\r\nPatient's Age: 005Y \r\nscars RML. \r\n\r\nTB ",
      ("O", "5", "scars RML. TB"),
    ),
    ("", ("", "", "")),
    ("nothing of the kind", ("", "", "nothing of the kind")),
  ],
)
def test_readings(text, expected):
  read = parse_reading(text)
  assert (read.sex, read.age, read.finding) == expected
