"""Figures of the report: images as PNG, curves as SVG within the page.

Neither pyplot nor the user's settings have any influence, and equal arguments
give equal bytes. Colours suit colour-blind readers (viridis; Okabe and Ito,
"Color Universal Design", 2008).
"""

import base64
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

import markupsafe
import numpy as np
from PIL import Image

from apppau_jax.reports import figure_style

# Figures are drawn in stand-in colours, which become variables of the page's
# style sheet: one figure serves light mode, dark mode and paper.
INK, GRID, SERIES, MARK = "#010201", "#010202", "#010203", "#010204"
_VARIABLES = {INK: "muted", GRID: "rule", SERIES: "series", MARK: "mark"}
_SPARSE = 40  # points of a curve that are marked
_DASHED = {"color": MARK, "lw": 1.2, "ls": (0, (4, 2))}


@dataclasses.dataclass(frozen=True)
class Case:
  """One image of the report and all outputs of the segmentor for it.

  With `structures` mask, prob, prediction and side_probs have a last axis k.
  """

  id: str  # untrusted text
  kind: str  # 'best', 'median' or 'worst'
  metrics: Mapping[str, float]  # of this image
  image: np.ndarray  # float [h, w] in [0, 1]
  mask: np.ndarray  # bool [h, w], the reference
  prob: np.ndarray  # float [h, w] in [0, 1], the finest output
  side_probs: Sequence[np.ndarray] = ()  # coarse to fine, float [h_i, w_i]
  attention: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  # The mask that was scored, clean-up included; None for prob >= threshold.
  prediction: np.ndarray | None = None
  structures: Sequence[str] = ()  # names of the k masks


class Plot(NamedTuple):
  """A figure: its title, SVG element and caption."""

  title: str
  svg: markupsafe.Markup
  caption: str


def png(pixels: np.ndarray, *, viridis: bool = False) -> str:
  """The data URI of a PNG.

  Args:
    pixels: uint8 [h, w, 3], or float [h, w] of which [0, 1] is shown.
    viridis: whether to colour a float array; grey otherwise.
  """
  if pixels.ndim == 2:
    unit = np.clip(np.nan_to_num(pixels.astype(float), nan=0.0), 0.0, 1.0)
    pixels = np.rint(255 * unit).astype(np.uint8)
  picture = Image.fromarray(pixels)
  if viridis:
    import matplotlib

    table = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)
    picture.putpalette(table[:, :3].tobytes())
  file = io.BytesIO()
  picture.save(file, format="PNG", optimize=True)
  return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def curves(history: Sequence[Mapping[str, Any]]) -> list[Plot]:
  """Draws losses, validation and learning rate over the same steps.

  Args:
    history: lines of metrics.jsonl. What no line holds is not drawn; values
      that are not finite are counted in the caption.
  """
  last = max((x.get("step", 0) for x in history), default=0)
  plots = []
  for title, kind, key, paint in (
    ("Training loss", "train", "loss", _loss),
    ("Validation Dice", "validation", "dice", _validated),
    ("Validation AUROC", "validation", "auroc", _validated),
    ("Loss of the discriminator", "train", "discriminator_loss", _loss),
    (
      "Predicted masks that D recognises",
      *("train", "discriminator_fake_accuracy", _share),
    ),
    ("Learning rate", "train", "learning_rate", _learning_rate),
  ):
    lines = [x for x in history if x.get("kind") == kind and key in x]
    points = np.array([(x["step"], x[key]) for x in lines], dtype=float)
    points = points.reshape(-1, 2)
    plots.append(draw(paint, points, title=title, x="step", until=last))
  return [plot for plot in plots if plot]


def histogram(dice: Mapping[str, float]) -> Plot | None:
  """Draws the distribution of Dice, given by image id; None without any.

  Each image has a tick of its own, whose tooltip is the id.
  """
  points = np.array([*enumerate(dice.values())], dtype=float).reshape(-1, 2)
  tips = [f"{name}: {value:.4f}" for name, value in dice.items()]
  return draw(_hist, points, title="Dice of each image", x="Dice", tips=tips)


def draw(
  paint: Callable[[Any, np.ndarray], str],
  points: np.ndarray,
  *,
  title: str,
  x: str,
  tips: Sequence[str] = (),
  until: float = 0.0,
) -> Plot | None:
  """Lets `paint` draw the finite points; None if there are none.

  Args:
    paint: draws on the axes and returns the caption. It draws no marker and
      no text of a data set, which would become links and mathematics; colours
      are `INK`, `GRID`, `SERIES` and `MARK`.
    points: [n, 2] of x and y; those with y not finite are only counted.
    title: above the figure; any text, like the caption.
    x: label of the x axis.
    tips: tooltips of the elements with the gid `tip-0`, `tip-1`, ...
    until: end of an x axis that begins at 0, as that of its neighbours; 0 for
      the extent of the points.
  """
  finite = points[np.isfinite(points[:, 1])]
  if not len(finite):
    return None
  from matplotlib.figure import Figure

  with figure_style.settings(title, plain=True):
    figure = Figure(figsize=(4.4, 2.7), layout="constrained")
    axes = figure.add_subplot(facecolor="none", xlabel=x, axisbelow=True)
    caption = paint(axes, finite)
    if until:
      axes.set_xlim(-0.02 * until, 1.02 * until)
    axes.grid(color=GRID, lw=0.8)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    content = figure_style.transparent_svg(figure)
  if omitted := len(points) - len(finite):
    caption += f" Not drawn, because not finite: {omitted}."
  svg = _element(content, label=f"{title}. {caption}", tips=tips)
  return Plot(title, svg, caption)


def _loss(axes: Any, points: np.ndarray) -> str:
  step, value = points.T
  window = max(1, len(value) // 30)
  _line(axes, points, alpha=0.35, lw=1)
  _line(axes, np.column_stack([step, running_mean(value, window=window)]))
  scale = "log" if value.min() > 0 else "linear"
  axes.set_yscale(scale)
  how = f"Faint as logged, bold the mean over {window} logged values"
  if window == 1:
    how = "As logged"
  return f"{how}; {scale} scale. Last {value[-1]:.4g}."


def _share(axes: Any, points: np.ndarray) -> str:
  window = max(1, len(points) // 30)
  _line(axes, points, alpha=0.35, lw=1)
  step, value = points.T
  _line(axes, np.column_stack([step, running_mean(value, window=window)]))
  axes.set_ylim(-0.04, 1.04)
  axes.axhline(0.5, **_DASHED)
  return f"Share of a batch; dashed: chance. Last {value[-1]:.2f}."


def _validated(axes: Any, points: np.ndarray) -> str:
  _line(axes, points)
  step, best = points[np.argmax(points[:, 1])]
  axes.axvline(step, **_DASHED)
  axes.axhline(best, **_DASHED)
  return f"Best {best:.4f} at step {step:,.0f} (dashed)."


def _learning_rate(axes: Any, points: np.ndarray) -> str:
  _line(axes, points)
  axes.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
  return f"Highest {points[:, 1].max():.3g}, last {points[-1, 1]:.3g}."


def _hist(axes: Any, points: np.ndarray) -> str:
  dice = points[:, 1]
  low = min(np.floor(dice.min() * 20) / 20, 0.9)
  edges = np.linspace(low, 1.0, 26)
  top = axes.hist(dice, edges, color=SERIES, alpha=0.75)[0].max()
  for i, value in points:
    tick = axes.vlines(value, -0.2 * top, -0.05 * top, color=INK, lw=1.6)
    tick.set_gid(f"tip-{i:.0f}")
  axes.axvline(np.median(dice), **_DASHED)
  whole = [t for t in axes.get_yticks() if 0 <= t <= top and t % 1 == 0]
  axes.set_yticks(whole)
  return (
    f"Bars count images, each tick below is one. Median {np.median(dice):.4f} "
    f"(dashed), worst {dice.min():.4f}, best {dice.max():.4f}."
  )


def running_mean(values: np.ndarray, *, window: int) -> np.ndarray:
  """The mean of the `window` values around each, of fewer at the ends."""
  total, count = (
    np.convolve(x, np.ones(window), "same") for x in (values, values * 0 + 1)
  )
  return total / count


def extremes(points: np.ndarray, *, stretches: int = 500) -> np.ndarray:
  """The lowest and highest point of each of at most `stretches` parts.

  A long curve becomes small and keeps its spikes.
  """
  size = -(-len(points) // stretches)
  parts = [(i, points[i : i + size, 1]) for i in range(0, len(points), size)]
  kept = {i + end(part) for i, part in parts for end in (np.argmin, np.argmax)}
  return points[sorted(kept)]


def _line(axes: Any, points: np.ndarray, **style: Any) -> None:
  style = {"color": SERIES, "lw": 1.8, "solid_capstyle": "round"} | style
  if len(points) == 1:  # a dot, without a marker, which would need a link
    points, style["lw"] = points.repeat(2, axis=0), 6
  axes.plot(*extremes(points).T, **style)
  if 1 < len(points) <= _SPARSE and "alpha" not in style:
    gap = np.full((len(points), 2), np.nan)
    dots = np.stack([points, points, gap], axis=1).reshape(-1, 2)
    axes.plot(*dots.T, **{**style, "lw": 5})


def _element(
  content: bytes, *, label: str, tips: Sequence[str]
) -> markupsafe.Markup:
  """An SVG file as an element of a page that holds several.

  Without namespaces, without a style that would apply to the whole page, and
  without ids, which would repeat, but those of clip paths.
  """
  root = ElementTree.fromstring(content)
  for parent in [*root.iter()]:
    parent.tag = parent.tag.rpartition("}")[2]
    for child in [*parent]:
      if child.tag.endswith("}style"):
        parent.remove(child)
    name = parent.attrib.pop("id", "") if parent.tag == "g" else ""
    if name.startswith("tip-"):
      title = ElementTree.Element("title")
      title.text = tips[int(name.removeprefix("tip-"))]
      parent.insert(0, title)
  root.attrib = {
    "class": "plot",
    "role": "img",
    "aria-label": label,
    "viewBox": root.attrib["viewBox"],
  }
  text = ElementTree.tostring(root, encoding="unicode")
  for colour, variable in _VARIABLES.items():
    text = text.replace(colour, f"var(--{variable})")
  return markupsafe.Markup(text)  # trusted: ElementTree escaped every text
