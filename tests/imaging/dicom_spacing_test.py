"""The spacing of pixels in a DICOM header."""

import numpy as np
import pytest

from apppau_jax.imaging import decode

FRAME = np.arange(200 * 300, dtype=np.uint16).reshape(200, 300) % 4096


@pytest.mark.parametrize(
  ("elements", "expected"),
  [
    ({}, None),
    ({"PixelSpacing": [0.5, 0.4]}, (0.5, 0.4, "PixelSpacing")),
    ({"ImagerPixelSpacing": [0.5, 0.4]}, (0.5, 0.4, "ImagerPixelSpacing")),
    (
      {"PixelSpacing": [0.8, 0.9], "ImagerPixelSpacing": [1, 1]},
      (0.8, 0.9, "PixelSpacing"),
    ),
    (
      {"PixelSpacing": None, "ImagerPixelSpacing": [0.7, 0.7]},
      (0.7, 0.7, "ImagerPixelSpacing"),
    ),
  ],
)
@pytest.mark.parametrize("colour", [False, True])
def test_the_calibrated_spacing_goes_first(make, elements, expected, colour):
  elements = {k: v for k, v in elements.items() if v}
  if colour:
    elements |= {
      "PhotometricInterpretation": "RGB",
      "SamplesPerPixel": 3,
      "PlanarConfiguration": 0,
      "BitsAllocated": 8,
      "BitsStored": 8,
      "HighBit": 7,
      "PixelData": (FRAME // 16).astype(np.uint8).repeat(3).tobytes(),
    }
  film = decode.read_film(make(FRAME, **elements))
  assert film.spacing == expected
  assert film.remarks == ()


@pytest.mark.parametrize(
  ("value", "says"),
  [
    ([0, 0.4], "not two positive numbers"),
    ([-0.4, 0.4], "not two positive numbers"),
    ([0.4], "not two positive numbers"),
    (["0.4", "0.4", "0.4"], "not two positive numbers"),
    ([10, 10], "3000 x 2000 mm"),
    ([0.01, 0.01], "3 x 2 mm"),
  ],
)
def test_a_spacing_that_no_chest_film_has_is_not_used(make, value, says):
  content = make(FRAME, PixelSpacing=value, ImagerPixelSpacing=[0.6, 0.6])
  film = decode.read_film(content)
  assert film.spacing == (0.6, 0.6, "ImagerPixelSpacing")
  (remark,) = film.remarks
  assert says in remark
  assert "PixelSpacing (0028,0030)" in remark
  both = make(FRAME, PixelSpacing=value, ImagerPixelSpacing=value)
  film = decode.read_film(both)
  assert film.spacing is None
  assert "(0018,1164)" in film.remarks[1]


@pytest.mark.parametrize("text", [b"0.6,0.6 ", b"wide\\0.6", b"nan\\0.60"])
def test_text_that_is_no_number_is_not_used(make, text):
  content = make(FRAME, PixelSpacing=["1.25", "1.2"])
  assert content.count(b"1.25\\1.2") == 1
  film = decode.read_film(content.replace(b"1.25\\1.2", text))
  assert film.spacing is None
  assert "(0028,0030)" in film.remarks[0]
