"""Images side by side: which they are, and what is written beside them."""

import io
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from apppau_jax.reports import figure_style, montage

EVIL = "<script>$x^{</script>"


def _films():
  mask = np.zeros((16, 16), bool)
  mask[4:12, 4:12] = True
  image = np.full((16, 16), 100, np.uint8)
  return [montage.Film(id=name, image=image, mask=mask) for name in ("a", EVIL)]


def _words(content):
  root = ElementTree.fromstring(content["svg"])
  return [text for node in root.iter() if (text := (node.text or "").strip())]


def test_images_are_picked_from_worst_to_best():
  scores = {"e": 0.5, "a": 0.1, "d": 0.4, "b": 0.2, "c": 0.3}
  assert montage.pick(scores, count=3) == ["a", "c", "e"]
  assert montage.pick(scores, count=2) == ["a", "e"]
  assert montage.pick(scores, count=9) == ["a", "b", "c", "d", "e"]
  assert montage.pick({"y": 0.1, "x": 0.1}, count=4) == ["x", "y"]
  assert montage.pick({}, count=4) == []


def test_a_column_is_a_row_of_the_table_with_its_dice():
  films = _films()
  half = films[0].mask.copy()
  half[8:] = False
  whole = {film.id: film.mask for film in films}
  columns = {
    "U-Net, TV": whole,
    "U-Net, KLTV": {film.id: half for film in films},
  }
  content = montage.overlays(films, columns, title="t")
  words = _words(content)
  # A half of the lungs and nothing else: 2 * 32 / (64 + 32).
  assert words.count("Dice 1.000") == words.count("Dice 0.667") == 2
  assert {"image", "TV", "KLTV", "a", EVIL} <= {*words}
  with Image.open(io.BytesIO(content["png"])) as picture:
    assert picture.size[0] > picture.size[1]
  assert montage.overlays(films, columns, title="t") == content


def test_attention_runs_from_coarse_to_fine():
  maps = {
    "D1": np.linspace(0.25, 0.5, 512).reshape(2, 16, 16),
    "D4": np.zeros((2, 2, 2)),
  }
  words = _words(montage.attention(_films(), maps, title="t"))
  assert words.index("D4") < words.index("D1")
  assert "0.38 to 0.50" in words  # each film over its own range
  assert words.count("0.00 to 0.00") == 2


def test_the_users_settings_change_nothing():
  import matplotlib

  def drawn():
    with figure_style.settings("t"):
      figure, ((axis,),) = figure_style.grid(1, 1, cell=(1, 1))
      axis.plot([0, 1])
      return figure_style.encode(figure)

  before = drawn()
  with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red"}):
    assert drawn() == before


def test_views_stand_in_rows_and_masks_are_outlined():
  image = np.full((16, 16), 0.5)
  mask = np.zeros((16, 16, 2))
  mask[4:12, 4:12, 0] = 1.0  # the other structure is absent

  def drawn(mask, image=image):
    view = montage.View(title="weak", image=image, mask=mask)
    return montage.views({"a": [view], EVIL: [view]}, title="t")

  words = _words(drawn(mask))
  assert words.count("weak") == 2
  assert {"a", EVIL} <= {*words}
  blue = figure_style.BLUE.encode()
  assert blue in drawn(mask)["svg"]
  assert blue not in drawn(None)["svg"]
  assert blue not in drawn(np.zeros_like(mask))["svg"]
  # Values outside [0, 1] are shown over their own range.
  ramp = np.linspace(-3, 3, 256).reshape(16, 16)
  with Image.open(io.BytesIO(drawn(None, ramp)["png"])) as picture:
    levels = {*np.asarray(picture.convert("L")).ravel().tolist()}
  assert len(levels) > 100
