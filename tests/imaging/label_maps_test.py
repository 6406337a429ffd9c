import numpy as np
import pytest
from PIL import Image

from apppau_jax.errors import DataError
from apppau_jax.imaging import label_maps

LABELS = np.array([[0, 1, 1, 0], [2, 2, 0, 7]], np.uint8)
VALUES = {"left lung": 1, "right lung": 2, "heart": 7}
COLOURS = {
  "left lung": (255, 0, 0),
  "right lung": (0, 0, 9),
  "heart": (9, 9, 9),
}


def _palette(labels):
  image = Image.new("P", labels.shape[::-1])
  image.putdata(labels.ravel().tolist())
  # Two entries of one colour: only the index tells them apart.
  image.putpalette([0, 0, 0, *[200, 200, 200] * 7])
  return image


def _coloured():
  pixels = np.zeros((*LABELS.shape, 3), np.uint8)
  for structure, value in VALUES.items():
    pixels[value == LABELS] = COLOURS[structure]
  return Image.fromarray(pixels)


@pytest.mark.parametrize(
  ("image", "kind"),
  [
    (Image.fromarray(LABELS), "PNG"),
    (Image.fromarray(LABELS.astype(np.uint16)), "PNG"),
    (Image.fromarray(LABELS), "TIFF"),
    (_palette(LABELS), "PNG"),
  ],
)
def test_one_value_or_index_for_each_structure(encoded, image, kind):
  read = label_maps.read_values(encoded(image, kind), VALUES)
  assert [*read] == [*VALUES]
  for structure, value in VALUES.items():
    np.testing.assert_array_equal(read[structure], value == LABELS)


def test_one_colour_for_each_structure(encoded):
  for image in (_coloured(), _coloured().quantize(8)):
    read = label_maps.read_colours(encoded(image), COLOURS)
    for structure, value in VALUES.items():
      np.testing.assert_array_equal(read[structure], value == LABELS)


def test_values_without_a_structure_are_refused_with_their_count(encoded):
  content = encoded(Image.fromarray(LABELS))
  with pytest.raises(DataError, match=r"m\.png.*1 values.*7: 1.*0, 1, 2"):
    label_maps.read_values(content, {"a": 1, "b": 2}, name="m.png")
  with pytest.raises(DataError, match=r"m\.png.*\(9, 9, 9\): 1"):
    label_maps.read_colours(
      encoded(_coloured()),
      {"a": (255, 0, 0), "b": (0, 0, 9)},
      name="m.png",
    )


def test_a_structure_may_be_absent(encoded):
  content = encoded(Image.fromarray(np.zeros((2, 2), np.uint8)))
  read = label_maps.read_values(content, VALUES)
  assert not any(mask.any() for mask in read.values())


def test_transparent_pixels_are_refused(encoded):
  image = _coloured().convert("RGBA")
  image.putpixel((0, 0), (0, 0, 0, 0))
  with pytest.raises(DataError, match="transparent"):
    label_maps.read_colours(encoded(image), COLOURS)


@pytest.mark.parametrize("values", [{"a": 1, "b": 1}, {"a": 0}])
def test_two_structures_of_one_value_are_refused(encoded, values):
  with pytest.raises(ValueError, match="one value"):
    label_maps.read_values(encoded(Image.fromarray(LABELS)), values)
