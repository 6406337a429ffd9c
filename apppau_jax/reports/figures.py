"""Pictures of the report: overlays and maps as PNG, curves as inline SVG.

No pyplot, the same bytes on every run. Colours are told apart by colour-blind
readers (Okabe and Ito, "Color Universal Design", 2008; viridis).
"""

import base64
import dataclasses
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import markupsafe
import numpy as np
from PIL import Image

# Drawings use stand-in colours that become variables of the page's style
# sheet: one drawing serves light, dark and paper.
INK, GRID, SERIES, MARK = "#010201", "#010202", "#010203", "#010204"
_VARIABLES = {INK: "muted", GRID: "rule", SERIES: "series", MARK: "mark"}


@dataclasses.dataclass(frozen=True)
class Case:
  """One test image and everything that a picture of it needs.

  With `structures` mask, prob, prediction and side_probs have a last axis k.
  """

  id: str  # untrusted text
  kind: str  # 'best', 'median' or 'worst'
  metrics: Mapping[str, float]  # of this image
  image: np.ndarray  # float [h, w] in [0, 1]
  mask: np.ndarray  # bool [h, w], the reference
  prob: np.ndarray  # float [h, w] in [0, 1], the finest output
  side_probs: Sequence[np.ndarray] = ()  # coarse -> fine, float [h_i, w_i]
  attention: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  # The mask that was scored, clean-up included; None for prob >= threshold.
  prediction: np.ndarray | None = None
  structures: Sequence[str] = ()  # names of the k masks


class Plot(NamedTuple):
  """A drawing: its title, inline SVG and caption."""

  title: str
  svg: markupsafe.Markup
  caption: str


def png(pixels: np.ndarray, *, viridis: bool = False) -> str:
  """The data URI of a PNG.

  Args:
    pixels: uint8 [h, w, 3], or float [h, w] of which [0, 1] is shown.
    viridis: whether to colour a float array; grey otherwise.
  """
  picture = Image.fromarray(pixels if pixels.ndim == 3 else _bytes(pixels))
  if viridis:
    import matplotlib

    table = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)
    picture.putpalette(table[:, :3].tobytes())
  file = io.BytesIO()
  picture.save(file, format="PNG", optimize=True)
  return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def curves(history: Sequence[Mapping[str, Any]]) -> list[Plot]:
  """Draws training loss, validation Dice and learning rate over the steps.

  Args:
    history: lines of metrics.jsonl. What has no line is not drawn; values
      that are not finite are counted in the caption.
  """
  drawings = (
    ("Training loss", "train", "loss", _loss),
    ("Validation Dice", "validation", "dice", _dice),
    ("Learning rate", "train", "learning_rate", _learning_rate),
  )
  plots = []
  for title, kind, key, paint in drawings:
    lines = [x for x in history if x.get("kind") == kind and key in x]
    points = np.array([(x["step"], x[key]) for x in lines], dtype=float)
    plots.append(draw(paint, points.reshape(-1, 2), title=title, x="step"))
  return [plot for plot in plots if plot]


def histogram(dice: Mapping[str, float]) -> Plot | None:
  """Draws how many images reach which Dice, of id → Dice; None without any.

  Each image has a tick of its own, which tells the id when pointed at.
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
) -> Plot | None:
  """Lets `paint` draw the points that are finite, if there are any.

  Args:
    paint: draws on the axes and returns the caption. No marker and no foreign
      text may be drawn (a link, and mathematics, would come of them); colours
      are `INK`, `GRID`, `SERIES` and `MARK`.
    points: [n, 2] of x and y; those with y not finite are only counted.
    title: above the drawing; any text, like the caption.
    x: label of the x axis.
    tips: texts shown when pointing at what has the gid `tip-0`, `tip-1`, ...
  """
  finite = points[np.isfinite(points[:, 1])]
  if not len(finite):
    return None
  import matplotlib
  from matplotlib.figure import Figure

  with matplotlib.rc_context():
    matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
    # Text in the page's font; ids that differ between drawings, not runs.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": title})
    figure = Figure(figsize=(4.4, 2.7), layout="constrained")
    axes = figure.add_subplot(facecolor="none", xlabel=x, axisbelow=True)
    caption = paint(axes, finite)
    axes.grid(color=GRID, lw=0.8)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
  if omitted := len(points) - len(finite):
    caption += f" Not drawn, because not finite: {omitted}."
  svg = _inline(file.getvalue(), label=f"{title}. {caption}", tips=tips)
  return Plot(title, svg, caption)


def _loss(axes: Any, points: np.ndarray) -> str:
  step, value = points.T
  window = np.ones(max(1, len(value) // 30))
  total, count = (np.convolve(x, window, "same") for x in (value, step * 0 + 1))
  _line(axes, points, alpha=0.35, lw=1)
  _line(axes, np.column_stack([step, total / count]))
  scale = "log" if value.min() > 0 else "linear"
  axes.set_yscale(scale)
  how = f"Faint as logged, bold the mean over {len(window)} logged"
  if len(window) == 1:
    how = "As logged"
  return f"{how}; {scale} scale. Last {value[-1]:.4g}."


def _dice(axes: Any, points: np.ndarray) -> str:
  _line(axes, points)
  step, best = points[np.argmax(points[:, 1])]
  axes.axvline(step, color=MARK, lw=1.2, ls=(0, (4, 2)))
  axes.axhline(best, color=MARK, lw=1.2, ls=(0, (4, 2)))
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
  axes.axvline(np.median(dice), color=MARK, lw=1.2, ls=(0, (4, 2)))
  whole = [t for t in axes.get_yticks() if 0 <= t <= top and t % 1 == 0]
  axes.set_yticks(whole)
  return (
    f"Bars count images, each tick below is one. Median {np.median(dice):.4f} "
    f"(dashed), worst {dice.min():.4f}, best {dice.max():.4f}."
  )


def _line(axes: Any, points: np.ndarray, **style: Any) -> None:
  """Draws a line by the extremes of at most 500 stretches: spikes survive."""
  style = {"color": SERIES, "lw": 1.8, "solid_capstyle": "round"} | style
  if len(points) == 1:  # a dot, without a marker, which would need a link
    points, style["lw"] = points.repeat(2, axis=0), 6
  size = -(-len(points) // 500)
  parts = [(i, points[i : i + size, 1]) for i in range(0, len(points), size)]
  keep = {i + end(part) for i, part in parts for end in (np.argmin, np.argmax)}
  axes.plot(*points[sorted(keep)].T, **style)


def _inline(svg: str, *, label: str, tips: Sequence[str]) -> markupsafe.Markup:
  box = re.findall(r'viewBox="[^"]*"', svg)[0]
  body = svg.partition("</defs>")[2]  # without a style for all of the page
  body = re.sub(r'<g id="(?!tip-)[^"]*"', "<g", body)  # ids would repeat
  for colour, variable in _VARIABLES.items():
    body = body.replace(colour, f"var(--{variable})")
  for i, text in enumerate(tips):
    title = f"<g><title>{markupsafe.escape(text)}</title>"
    body = body.replace(f'<g id="tip-{i}">', title)
  label = markupsafe.escape(label)  # may quote a class name
  head = f'<svg class="plot" role="img" aria-label="{label}" {box}>'
  return markupsafe.Markup(head + body)  # trusted: tips and label are escaped


def _bytes(image: np.ndarray) -> np.ndarray:
  unit = np.clip(np.nan_to_num(image.astype(float), nan=0.0), 0.0, 1.0)
  return np.rint(255 * unit).astype(np.uint8)
