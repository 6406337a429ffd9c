"""Draws diagrams as SVG: boxes, arrows and words, nothing else."""

import html
from collections.abc import Iterator

FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
INK, PALE, BLUE, ORANGE, GREEN, GREY = (
  *("#263238", "#ffffff", "#cfe3f5", "#fbe0c3", "#d3ecd7", "#e6eaed"),
)


class Diagram:
  """A drawing of a given size; its background is white in dark pages too."""

  def __init__(self, width: int, height: int):
    self._size = width, height
    self._parts: list[str] = []

  def box(
    self, x: float, y: float, w: float, h: float, text: str = "", fill=BLUE
  ) -> None:
    """Draw a box with its lines of text in the middle."""
    self._parts.append(
      f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="4" '
      f'fill="{fill}" stroke="{INK}" stroke-width="1"/>'
    )
    lines = text.split("\n") if text else []
    for i, line in enumerate(lines):
      middle = y + h / 2 + 16 * (i - (len(lines) - 1) / 2) + 4.5
      self.text(x + w / 2, middle, line)

  def text(self, x: float, y: float, text: str, anchor="middle", size=13):
    """Write one line; y is its base line."""
    self._parts.append(
      f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}" '
      f'fill="{INK}">{html.escape(text)}</text>'
    )

  def arrow(self, *points: tuple[float, float], dashed: bool = False) -> None:
    """Draw a line through the points with a head at its end."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    self._parts.append(
      f'<polyline points="{path}" fill="none" stroke="{INK}" '
      f'stroke-width="1.3"{dash} marker-end="url(#head)"/>'
    )

  def svg(self) -> str:
    """Return the file."""
    width, height = self._size
    return "\n".join(self._lines(width, height)) + "\n"

  def _lines(self, width: int, height: int) -> Iterator[str]:
    yield (
      f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
      f'width="{width}" height="{height}" font-family="{FONT}">'
    )
    yield (
      '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" '
      'markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
      f'<path d="M0,0 L8,4 L0,8 z" fill="{INK}"/></marker></defs>'
    )
    yield f'<rect width="{width}" height="{height}" rx="6" fill="{PALE}"/>'
    yield from self._parts
    yield "</svg>"


def segmentor() -> str:
  """Return PPAU-Net: pyramid, gated skips, progressive side outputs."""
  d = Diagram(760, 500)
  heads = ("image (pyramid)", "encoder", "gated skip", "decoder", "side output")
  columns = (85, 225, 370, 510, 665)
  for x, head in zip(columns, heads):
    d.text(x, 26, head, size=14)
  for level, (side, channels) in enumerate(
    zip((128, 64, 32, 16, 8), ("F", "2F", "4F", "8F", "16F"))
  ):
    y = 45 + 90 * level
    if level == 0:
      d.box(30, y, 110, 44, "image\n128 × 128", GREY)
    elif level < 4:
      d.box(30, y, 110, 44, f"averaged\n{side} × {side}", GREY)
      d.arrow((85, y - 46), (85, y))
    if level < 4:
      d.arrow((140, y + 22), (175, y + 22))
    d.box(175, y, 100, 44, f"{side} × {side}\n{channels}")
    if level:
      d.arrow((225, y - 46), (225, y))
    if level < 4:
      d.arrow((275, y + 22), (325, y + 22))
      d.box(325, y + 4, 90, 36, "× gate", ORANGE)
      d.arrow((415, y + 22), (460, y + 22))
      d.box(460, y, 100, 44, f"{side} × {side}\n{channels}")
      d.arrow((560, y + 22), (605, y + 22))
      label = "mask" if level == 0 else f"side {4 - level}"
      d.box(605, y, 120, 44, f"{label}\n{side} × {side}", GREEN)
      if level < 3:
        d.arrow((510, y + 90), (510, y + 44))
        d.arrow((665, y + 90), (665, y + 44))
        d.text(675, y + 72, "+", anchor="start", size=16)
        d.arrow((460, y + 100), (370, y + 70), (370, y + 40), dashed=True)
  d.arrow((275, 427), (510, 427), (510, 359))
  d.arrow((370, 427), (370, 355), dashed=True)
  return d.svg()


def discriminator() -> str:
  """Return D: a pair of image and mask, stages, classes and "predicted"."""
  d = Diagram(760, 190)
  d.box(20, 30, 100, 44, "image", GREY)
  d.box(20, 110, 100, 44, "mask\ndrawn or S(x)", GREEN)
  d.arrow((120, 52), (150, 92), (165, 92))
  d.arrow((120, 132), (150, 92), (165, 92))
  sizes = ("64 × 64\nF", "32 × 32\n2F", "16 × 16\n4F", "8 × 8\n8F")
  for i, text in enumerate(sizes):
    x = 165 + 100 * i
    d.box(x, 66, 80, 52, text)
    d.arrow((x + 80, 92), (x + 100, 92))
  d.text(355, 50, "four 5 × 5 convolutions of stride 2")
  d.box(565, 66, 60, 52, "mean", ORANGE)
  d.arrow((625, 92), (650, 60), (665, 60))
  d.arrow((625, 92), (650, 124), (665, 124))
  d.box(665, 38, 80, 44, "n classes", GREEN)
  d.box(665, 102, 80, 44, "“predicted”", GREEN)
  return d.svg()


def splits() -> str:
  """Return the parts of a data set and the label budgets of training."""
  d = Diagram(760, 300)
  d.box(20, 20, 720, 40, "all images, grouped by patient, even by class", GREY)
  parts = (
    (20, 470, "training: changes the weights", BLUE),
    (500, 90, "validation:\nchooses", ORANGE),
    (600, 140, "test: measured\nonce, at the end", GREEN),
  )
  for x, w, text, fill in parts:
    d.arrow((x + w / 2, 60), (x + w / 2, 90))
    d.box(x, 90, w, 50, text, fill)
  rows = (
    ("masks that may be read", 60, 190),
    ("classes that may be read", 150, 240),
  )
  for text, width, y in rows:
    d.box(20, y, 470, 34, "", PALE)
    d.box(20, y, width, 34, "", BLUE)
    d.text(28 + width, y + 22, "hidden", anchor="start")
    d.text(505, y + 22, text, anchor="start")
  d.arrow((255, 140), (255, 188))
  return d.svg()


DIAGRAMS = {
  "segmentor": segmentor,
  "discriminator": discriminator,
  "splits": splits,
}
