import base64
import io
import math
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from apppau_jax.inference import overlay
from apppau_jax.reports import figures


def _square(top, left, *, side=6, shape=(16, 16)):
  region = np.zeros(shape, bool)
  region[top : top + side, left : left + side] = True
  return region


def _decode(uri):
  kind, code = uri.split(",")
  assert kind == "data:image/png;base64"
  return Image.open(io.BytesIO(base64.b64decode(code, validate=True)))


def _history(count):
  return [
    {"kind": "train", "step": i, "loss": 2.0 - i / count, "learning_rate": 1e-3}
    for i in range(count)
  ]


def _series(svg):
  """The drawn line(s) in the series colour, each as [n, 2] coordinates."""
  drawn = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--series\)', svg)
  return [
    np.array([p.split()[1:] for p in d.strip().splitlines()], dtype=float)
    for d in drawn
  ]


def test_overlay_of_shifted_squares_at_hand_picked_pixels():
  # Rows and columns 2..7 against 4..9: they share 4..7.
  image = np.full((16, 16), 0.2)
  drawn = overlay.compare(
    image, mask=_square(2, 2), prediction=_square(4, 4), width=1
  )
  grey = 51

  def blend(colour):
    return tuple(round(0.55 * grey + 0.45 * x) for x in colour)

  expected = {
    (0, 0): (grey,) * 3,  # outside both
    (5, 6): (grey,) * 3,  # inside both, on no outline
    (2, 2): overlay.TRUTH,  # corner of the mask
    (7, 3): overlay.TRUTH,  # lower edge of the mask
    (3, 3): blend(overlay.TRUTH),  # missed lung
    (9, 9): overlay.PREDICTION,  # corner of the prediction
    (4, 6): overlay.PREDICTION,  # its upper edge, inside the mask
    (8, 8): blend(overlay.PREDICTION),  # not lung
    (4, 7): overlay.AGREED,  # the outlines cross here
    (7, 4): overlay.AGREED,
  }
  assert {at: tuple(drawn[at].tolist()) for at in expected} == expected
  assert drawn.dtype == np.uint8
  assert drawn.shape == (16, 16, 3)


def test_overlay_of_equal_masks_is_one_agreed_outline():
  mask = _square(4, 4)
  drawn = overlay.compare(np.zeros((16, 16)), mask=mask, prediction=mask)
  white = (drawn == overlay.AGREED).all(axis=-1)
  assert white.sum() == 4 * 6 - 4  # the border of a square of side 6
  np.testing.assert_array_equal(white | _square(5, 5, side=4), mask)
  assert not drawn[~white].any()


def test_outline_width_grows_inwards():
  mask = _square(4, 4)
  drawn = overlay.compare(
    np.zeros((16, 16)), mask=mask, prediction=mask, width=2
  )
  assert (drawn == 255).all(axis=-1).sum() == 36 - 4


def test_overlay_takes_empty_masks_edges_and_wild_pixels():
  image = np.array([[np.nan, -1.0], [0.5, 7.0]])
  empty, full = np.zeros((2, 2), bool), np.ones((2, 2), bool)
  plain = overlay.compare(image, mask=empty, prediction=empty)
  np.testing.assert_array_equal(plain[..., 1], [[0, 0], [128, 255]])
  framed = overlay.compare(image, mask=full, prediction=empty)
  assert (framed == overlay.TRUTH).all()  # the frame's edge is an outline


def test_overlay_refuses_other_shapes():
  with pytest.raises(ValueError, match=r"image \(4, 4\), mask \(2, 2\)"):
    overlay.compare(
      np.zeros((4, 4)),
      mask=np.zeros((2, 2), bool),
      prediction=np.zeros((4, 4), bool),
    )


def test_outline_colours_differ_in_lightness_too():
  lightness = [
    np.dot([0.2126, 0.7152, 0.0722], c)
    for c in (overlay.PREDICTION, overlay.TRUTH, overlay.AGREED)
  ]
  assert min(np.diff(lightness)) > 20


def test_png_is_lossless():
  values = np.linspace(0, 1, 12).reshape(3, 4)
  grey = np.asarray(_decode(figures.png(values)))
  np.testing.assert_array_equal(grey, np.rint(255 * values))
  colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
  np.testing.assert_array_equal(_decode(figures.png(colours)), colours)


def test_viridis_ends_are_those_of_matplotlib():
  picture = _decode(figures.png(np.array([[0.0, 1.0]]), viridis=True))
  got = np.asarray(picture.convert("RGB"))[0]
  table = 255 * np.array(matplotlib.colormaps["viridis"].colors)
  np.testing.assert_allclose(got, table[[0, -1]], atol=1)


def test_no_history_no_curves():
  assert figures.curves([]) == []
  assert figures.curves([{"kind": "train", "step": 1, "other": 2.0}]) == []
  assert figures.histogram({}) is None
  assert figures.histogram({"a": math.nan}) is None


def test_curves_tell_best_last_and_what_is_left_out():
  history = [
    {"kind": "train", "step": 10, "loss": 0.5, "learning_rate": 1e-3},
    {"kind": "validation", "step": 10, "dice": 0.8, "loss": 9.0},
    {"kind": "validation", "step": 20, "dice": 0.9125, "loss": 9.0},
    {"kind": "validation", "step": 30, "dice": 0.85, "loss": 9.0},
    {"kind": "validation", "step": 40, "dice": None, "loss": 9.0},
    {"kind": "train", "step": 40, "loss": 0.25, "learning_rate": 5e-4},
    {"kind": "train", "step": 50, "loss": math.inf, "learning_rate": 5e-4},
  ]
  loss, dice, rate = figures.curves(history)
  assert "log scale. Last 0.25. Not drawn, because not finite: 1." in (
    loss.caption
  )
  assert dice.caption == (
    "Best 0.9125 at step 20 (dashed). Not drawn, because not finite: 1."
  )
  assert rate.caption == "Highest 0.001, last 0.0005."
  assert [p.title for p in (loss, dice, rate)] == [
    "Training loss",
    "Validation Dice",
    "Learning rate",
  ]
  for plot in (loss, dice, rate):
    root = ElementTree.fromstring(plot.svg)  # well-formed: inline and alone
    assert root.attrib["role"] == "img"
    assert plot.caption in root.attrib["aria-label"]


def test_best_dice_is_marked_where_the_curve_is_highest():
  values = (0.2, 0.6, 0.4)
  history = [
    {"kind": "validation", "step": i, "dice": v} for i, v in enumerate(values)
  ]
  (plot,) = figures.curves(history)
  (line,) = _series(plot.svg)
  marks = re.findall(r'<path d="M (\S+) (\S+) [^"]*"[^>]*--mark', plot.svg)
  x, y = line[1]
  assert y == line[:, 1].min()  # SVG counts downwards
  assert float(marks[0][0]) == pytest.approx(x)
  assert float(marks[1][1]) == pytest.approx(y)


def test_loss_scale_is_linear_once_a_value_is_not_positive():
  for low, scale in ((0.1, "log"), (0.0, "linear"), (-0.1, "linear")):
    history = [
      {"kind": "train", "step": i, "loss": v} for i, v in enumerate((1.0, low))
    ]
    assert f"; {scale} scale" in figures.curves(history)[0].caption


def test_bold_loss_is_the_running_mean():
  count = 90  # window of 3; a zigzag of +-1 becomes one of +-1/3
  history = [
    {"kind": "train", "step": i, "loss": (-1.0) ** i} for i in range(count)
  ]
  raw, smooth = _series(figures.curves(history)[0].svg)
  swing = np.ptp(smooth[1:-1, 1]) / np.ptp(raw[:, 1])
  assert swing == pytest.approx(1 / 3, abs=1e-3)


def test_a_single_point_is_visible():
  plots = figures.curves(_history(1))
  assert all("stroke-linecap: round" in plot.svg for plot in plots)
  assert all("stroke-width: 6" in plot.svg for plot in plots)


def test_long_histories_stay_small_and_keep_their_spikes():
  history = _history(50_000)
  history[31_234]["loss"] = 1e4
  plot = figures.curves(history)[0]
  assert len(plot.svg) < 100_000
  raw, _ = _series(plot.svg)
  assert raw[:, 1].min() < raw[0, 1] / 2  # high above where the curve starts


def test_histogram_counts_and_names_every_image():
  dice = {"a": 0.8, 'b" <script>': 0.9, "tip-0": 0.97, "gone": math.nan}
  plot = figures.histogram(dice)
  assert plot is not None
  assert "Median 0.9000 (dashed), worst 0.8000, best 0.9700." in plot.caption
  assert plot.caption.endswith("not finite: 1.")
  root = ElementTree.fromstring(plot.svg)
  titles = [e.text for e in root.iter() if e.tag.endswith("title")]
  assert titles == ["a: 0.8000", 'b" <script>: 0.9000', "tip-0: 0.9700"]


def test_drawings_can_stand_in_one_page():
  history = _history(3)
  for i, value in enumerate((0.0, 0.5)):  # two drawings of one layout
    history.append({"kind": "train", "step": 3 + i, "loss": value})
    history.append({"kind": "validation", "step": i, "dice": value})
  plots = figures.curves([h for h in history if "learning_rate" not in h])
  plots += figures.curves(history)[2:]
  histogram = figures.histogram({"a": 0.9})
  assert histogram is not None
  page = "".join(plot.svg for plot in [*plots, histogram])
  ids = re.findall(r'id="([^"]*)"', page)
  assert len(ids) == len(set(ids))
  assert set(re.findall(r"url\(#([^)]*)\)", page)) == set(ids)
  for foreign in ("<style", "href", "http", "xmlns", "#0102"):
    assert foreign not in page
  assert set(re.findall(r"var\(--(\w+)\)", page)) == {
    "muted",
    "rule",
    "series",
    "mark",
  }


def test_drawings_ignore_the_settings_of_the_user():
  plain = figures.curves(_history(5))
  with matplotlib.rc_context({"font.size": 30, "lines.linestyle": ":"}):
    assert figures.curves(_history(5)) == plain
    assert matplotlib.rcParams["font.size"] == 30
