"""What the figures hold, read from their captions and parsed elements."""

import base64
import io
import math
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from apppau_jax.reports import figures


def _decode(uri):
  kind, code = uri.split(",")
  assert kind == "data:image/png;base64"
  return Image.open(io.BytesIO(base64.b64decode(code, validate=True)))


def _lines(kind, key, values):
  return [{"kind": kind, "step": i, key: v} for i, v in enumerate(values)]


def _elements(plot, tag):
  return [*ElementTree.fromstring(plot.svg).iter(tag)]


def test_png_is_lossless():
  values = np.linspace(0, 1, 12).reshape(3, 4)
  grey = np.asarray(_decode(figures.png(values)))
  np.testing.assert_array_equal(grey, np.rint(255 * values))
  wild = figures.png(np.array([[np.nan, -1.0], [0.5, 7.0]]))
  np.testing.assert_array_equal(_decode(wild), [[0, 0], [128, 255]])
  colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
  np.testing.assert_array_equal(_decode(figures.png(colours)), colours)


def test_viridis_ends_are_those_of_matplotlib():
  picture = _decode(figures.png(np.array([[0.0, 1.0]]), viridis=True))
  got = np.asarray(picture.convert("RGB"))[0]
  table = 255 * np.array(matplotlib.colormaps["viridis"].colors)
  np.testing.assert_allclose(got, table[[0, -1]], atol=1)


def test_no_history_no_curves():
  assert figures.curves([]) == []
  assert figures.curves(_lines("train", "other", [2.0])) == []
  assert figures.histogram({}) is None
  assert figures.histogram({"a": math.nan}) is None


def test_captions_state_best_last_and_what_is_left_out():
  history = [
    *_lines("train", "loss", [0.5, 0.25, math.inf]),
    *_lines("validation", "dice", [0.8, 0.9125, 0.85, None]),
    *_lines("train", "learning_rate", [1e-3, 5e-4]),
  ]
  plots = {plot.title: plot for plot in figures.curves(history)}
  expected = {
    "Training loss": ("log scale", "Last 0.25.", "not finite: 1."),
    "Validation Dice": ("Best 0.9125 at step 1", "not finite: 1."),
    "Learning rate": ("Highest 0.001", "last 0.0005."),
  }
  for (title, words), plot in zip(expected.items(), plots.values()):
    assert plot.title == title
    assert all(word in plot.caption for word in words)
    root = ElementTree.fromstring(plot.svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == f"{title}. {plot.caption}"


@pytest.mark.parametrize(
  ("lowest", "scale"), [(0.1, "log"), (0.0, "linear"), (-0.1, "linear")]
)
def test_loss_scale_is_linear_once_a_value_is_not_positive(lowest, scale):
  (plot,) = figures.curves(_lines("train", "loss", [1.0, lowest]))
  assert f"{scale} scale" in plot.caption


def test_the_running_mean_is_of_fewer_values_at_the_ends():
  zigzag = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
  np.testing.assert_allclose(
    figures.running_mean(zigzag, window=3), [0, 1 / 3, -1 / 3, 1 / 3, 0]
  )
  np.testing.assert_array_equal(figures.running_mean(zigzag, window=1), zigzag)


def test_long_curves_become_short_and_keep_their_spikes():
  value = np.linspace(2.0, 1.0, 50_000)
  value[31_234] = 1e4
  points = np.column_stack([np.arange(50_000), value])
  kept = figures.extremes(points)
  assert len(kept) <= 1000
  assert {0, 31_234, 49_999} <= {*kept[:, 0].astype(int)}
  assert (np.diff(kept[:, 0]) > 0).all()
  np.testing.assert_array_equal(figures.extremes(points[:9]), points[:9])


def test_a_single_value_is_a_dot():
  (plot,) = figures.curves(_lines("validation", "dice", [0.5]))
  styles = [path.attrib.get("style", "") for path in _elements(plot, "path")]
  assert any("stroke-width: 6" in s and "--series" in s for s in styles)


def test_histogram_counts_and_names_every_image():
  dice = {"a": 0.8, 'b" <script>': 0.9, "tip-0": 0.97, "gone": math.nan}
  plot = figures.histogram(dice)
  assert plot is not None
  for words in ("Median 0.9000", "worst 0.8000", "best 0.9700", "finite: 1."):
    assert words in plot.caption
  tooltips = [element.text for element in _elements(plot, "title")]
  assert tooltips == ["a: 0.8000", 'b" <script>: 0.9000', "tip-0: 0.9700"]


def test_plots_can_share_a_page():
  """They repeat no id, and bring no style, link or fixed colour."""
  history = [
    *_lines("train", "loss", [0.5, 0.4, 0.3]),
    *_lines("validation", "dice", [0.0, 0.5]),
    *_lines("train", "learning_rate", [1e-3] * 3),
  ]
  plots = [*figures.curves(history), figures.histogram({"a": 0.9})]
  page = "".join(plot.svg for plot in plots)
  elements = [*ElementTree.fromstring(f"<p>{page}</p>").iter()]
  ids = [e.attrib["id"] for e in elements if "id" in e.attrib]
  assert len(ids) == len(set(ids))
  assert not {"style", "use", "metadata"} & {e.tag for e in elements}
  assert not any("href" in name for e in elements for name in e.attrib)
  for variable in ("muted", "rule", "series", "mark"):
    assert f"var(--{variable})" in page
  assert "xmlns" not in page
  assert "#0102" not in page
  labels = {e.text for e in elements if e.tag == "text"}
  assert {"step", "Dice"} <= labels


def test_the_users_settings_change_nothing():
  history = _lines("train", "loss", [0.5, 0.4, 0.3])
  plain = figures.curves(history)
  with matplotlib.rc_context({"font.size": 30, "lines.linestyle": ":"}):
    assert figures.curves(history) == plain
    assert matplotlib.rcParams["font.size"] == 30
