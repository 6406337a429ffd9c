import json

import numpy as np
import pytest

from apppau_jax.imaging import coco

FILE = {
  "images": [
    {"id": 7, "file_name": "tb/tb0005.png", "width": 6, "height": 4},
    {"id": 9, "file_name": "tb/tb0006.png"},
  ],
  "annotations": [
    {
      "image_id": 7,
      "category_id": 2,
      "bbox": [1, 0, 3, 2],
      "segmentation": [[1, 0, 4, 0, 4, 2, 1, 2], [5, 3, 6, 3, 6, 4, 5, 4]],
      "area": 6,
    },
    {
      "image_id": 7,
      "category_id": 1,
      "segmentation": {"size": [4, 6], "counts": [20, 3, 1]},
    },
  ],
  "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
}


def _read(**changes):
  return coco.read(json.dumps({**FILE, **changes}).encode())


def test_images_with_their_annotations():
  first, second = _read()
  assert first.file_name == "tb/tb0005.png"
  assert first.size == (4, 6)
  assert [one.category for one in first.annotations] == ["b", "a"]
  assert first.annotations[0].box == (1, 0, 4, 2)
  assert second.annotations == ()
  assert second.size is None


def test_boxes_polygons_and_runs_by_hand():
  one, two = _read()[0].annotations
  box = np.zeros((4, 6), bool)
  box[0:2, 1:4] = True
  np.testing.assert_array_equal(one.fill_box((4, 6)), box)
  polygons = box.copy()
  polygons[3, 5] = True
  np.testing.assert_array_equal(one.fill((4, 6)), polygons)
  runs = np.zeros((4, 6), bool)
  runs[0:3, 5] = True  # pixels 20 to 22 down the columns
  np.testing.assert_array_equal(two.fill((4, 6)), runs)


def test_what_an_annotation_lacks_or_does_not_fit():
  one, two = _read()[0].annotations
  with pytest.raises(ValueError, match="no bbox"):
    two.fill_box((4, 6))
  with pytest.raises(ValueError, match="size"):
    two.fill((6, 4))
  with pytest.raises(ValueError, match=r"no area|not on"):
    one.fill_box((1, 1))
  bare = coco.Annotation("a", None, None)
  with pytest.raises(ValueError, match="no segmentation"):
    bare.fill((4, 6))


@pytest.mark.parametrize(
  ("changes", "reason"),
  [
    ({"images": {}}, "images is not a list"),
    ({"images": [{"id": 1}]}, "file_name"),
    ({"images": FILE["images"][:1] * 2}, "id of a image occurs twice"),
    ({"categories": FILE["categories"][:1]}, r"annotations\.0"),
    ({"annotations": [{"image_id": 1, "category_id": 1}]}, r"annotations\.0"),
    ({"annotations": [{"image_id": 7}]}, "category_id"),
    (
      {"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2]}]},
      "2 numbers",
    ),
    (
      {"annotations": [{"image_id": 7, "category_id": 1, "bbox": ["1"]}]},
      "not a number",
    ),
  ],
)
def test_other_files_are_refused(changes, reason):
  with pytest.raises(ValueError, match=reason):
    _read(**changes)


@pytest.mark.parametrize(
  "content", [b"", b"[1]", b"\xff", b'{"images": 1e999}']
)
def test_what_is_no_coco_file_is_refused(content):
  with pytest.raises(ValueError, match=r".+"):
    coco.read(content)


def test_an_odd_polygon_is_refused():
  bad = coco.Annotation("a", None, [[1, 2, 3]])
  with pytest.raises(ValueError, match="odd"):
    bad.fill((4, 6))
