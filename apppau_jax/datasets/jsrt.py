"""JSRT chest X-rays: 247 films, 154 with a lung nodule; masks from SCR.

The owner's images are headerless: 2048 x 2048 big-endian 16-bit numbers of 12
bits, high where the film is black. Masks come apart, from the SCR database
(van Ginneken et al.), a GIF of 1024 x 1024 for each lung.
"""

import re
from collections.abc import Iterator

import numpy as np

from apppau_jax.datasets import builder, names
from apppau_jax.datasets import layout as layout_lib
from apppau_jax.errors import DataError

STEM = re.compile(r"JPC(LN|NN)\d{3}")
SIDE = 2048  # pixels
WHITEST, BLACKEST = 0, 4095  # of 12 bits: optical density, not brightness
NODULES, NORMAL = 154, 93
# Unknown stands for itself; x and y are of the 2048 frame, from its top left.
DETAILS = {
  "subtlety": 0,  # 1 (extremely subtle) to 5 (obvious)
  "nodule_mm": 0,
  "nodule_x": -1,
  "nodule_y": -1,
  "malignancy": "",  # malignant, benign
  "position": "",  # as in "l.upper lobe(S3)"
}
# More pixels above 12 bits than this, and they are not 12 bits.
_STRAY = 0.01
# Where copies as PNG lie, as far as they are known.
_PNG_FOLDERS = (
  "images",
  "All247images",
  "Nodule154images",
  "NonNodule93images",
)
STRUCTURES = (
  "left lung",
  "right lung",
  "heart",
  "left clavicle",
  "right clavicle",
)
_LUNGS = (("left lung", "right lung"), ("left_lung", "right_lung"))
_SEX = {"male": "M", "female": "F"}


class Jsrt(builder.LungBuilder):
  """JSRT digital image database: lung nodules; lung masks of SCR."""

  @classmethod
  def layout(cls) -> layout_lib.Layout:
    """The images as JSRT gives them out, SCR's masks in or beside them."""
    tables = (("CLNDAT_EN", parse_nodules), ("CNNDAT_EN", parse_normal))
    return layout_lib.Layout(
      stem=STEM,
      expected=published_ids(),
      images=image_files,
      masks=mask_files,
      class_names=names.CLASSES["jsrt"],
      label=label,
      tables=layout_lib.METADATA
      + tuple((n + end, f) for n, f in tables for end in (".txt", ".TXT")),
      details=DETAILS,
      structures=STRUCTURES,
      read_raw=read_raw,
      scaled=True,
      negatives=True,
      where="All247images/JPCLN###.IMG and JPCNN###.IMG",
    )


def published_ids() -> tuple[str, ...]:
  """The 247 ids of the complete set, sorted."""
  return (
    *(f"JPCLN{number:03d}" for number in range(1, NODULES + 1)),
    *(f"JPCNN{number:03d}" for number in range(1, NORMAL + 1)),
  )


def label(example_id: str) -> int:
  """1 for a film with a nodule (JPCLN), 0 for one without (JPCNN)."""
  return int(example_id.startswith("JPCLN"))


def image_files(example_id: str) -> tuple[layout_lib.File, ...]:
  """The owner's file wherever it lies; else a copy as PNG."""
  pictures = ((folder, f"{example_id}.png") for folder in _PNG_FOLDERS)
  return ("", f"{example_id}.IMG"), ("", f"{example_id}.img"), *pictures


def mask_files(example_id: str) -> tuple[layout_lib.MaskFiles, ...]:
  """Left and right lung, whichever fold they lie in."""
  return tuple(
    tuple((folder, f"{example_id}.gif") for folder in folders)
    for folders in _LUNGS
  )


def read_raw(content: bytes, name: str, *, bits: int = 8) -> np.ndarray:
  """Decodes a headerless image: 12 bits, inverted.

  4095 - min(x, 4095), in integers: black film (4095, and the few pixels above)
  becomes 0. To 8 bits the lower four are dropped, clear film becoming 255; of
  16 they are the upper 12, and clear film is 65520.

  Args:
    content: 2 * 2048 * 2048 bytes, big-endian, rows from the top.
    name: what messages call the file.
    bits: of the result, 8 or 16.

  Returns:
    uint8 or uint16 [2048, 2048], lungs dark.

  Raises:
    DataError: another number of bytes, or not 12 bits in that byte order.
  """
  if len(content) != 2 * SIDE**2:
    raise DataError(
      f"The image {name} has {len(content):,} bytes; an image of JSRT has no "
      f"header and exactly {2 * SIDE**2:,} ({SIDE} x {SIDE} pixels of 2). It "
      "was cut short or converted: get it again from its owner."
    )
  density = np.frombuffer(content, ">u2").reshape(SIDE, SIDE)
  if (density > BLACKEST).mean() > _STRAY:
    swapped = (density.byteswap() > BLACKEST).mean() <= _STRAY
    reason = "its bytes are in the other order" if swapped else "it has more"
    raise DataError(
      f"The image {name} does not hold the 12-bit big-endian numbers of JSRT: "
      f"{(density > BLACKEST).mean():.0%} of them are above {BLACKEST}; "
      f"{reason}. It was converted: get it again from its owner."
    )
  light = BLACKEST - np.minimum(density, BLACKEST).astype(np.uint16)
  return light << 4 if bits == 16 else (light >> 4).astype(np.uint8)


def parse_nodules(text: str) -> dict[str, layout_lib.Reading]:
  """Readings by id from CLNDAT_EN.txt.

  Lines end in bare CRs. Fields, by TAB: file, subtlety, millimetres, age, sex,
  x, y, malignant or benign, position in two fields, diagnosis in two: the
  text is cut after so many letters, in the middle of words.
  """
  readings = {}
  for name, line in _lines(text):
    cells = [*line.split("\t"), *[""] * 12][:12]
    file, subtlety, size, age, sex, x, y, kind = (
      cell.strip() for cell in cells[:8]
    )
    if file != f"{name}.IMG" or sex.lower() not in _SEX:
      readings[name] = layout_lib.Reading(finding=line, understood=False)
      continue
    numbers = zip(("subtlety", "nodule_mm", "nodule_x", "nodule_y"),
                  (subtlety, size, x, y))  # fmt: skip
    readings[name] = layout_lib.Reading(
      sex=_SEX[sex.lower()],
      age=_age(age),
      finding=_joined(*cells[10:]),
      details={
        **{key: int(n) for key, n in numbers if n.isdecimal()},
        "malignancy": kind,
        "position": re.sub(r"(?<=\w)lobe", " lobe", _joined(*cells[8:10])),
      },
    )
  return readings


def parse_normal(text: str) -> dict[str, layout_lib.Reading]:
  """Readings by id from CNNDAT_EN.TXT: file, age, sex, "non-nodule"."""
  readings = {}
  for name, line in _lines(text):
    _, age, sex, *finding = [*line.split(), "", ""]
    if sex.lower() not in _SEX:
      readings[name] = layout_lib.Reading(finding=line, understood=False)
      continue
    readings[name] = layout_lib.Reading(
      sex=_SEX[sex.lower()], age=_age(age), finding=" ".join(finding).strip()
    )
  return readings


def _lines(text: str) -> Iterator[tuple[str, str]]:
  """The id and the whole of every line that begins with one."""
  for line in text.splitlines():
    found = STEM.match(line.strip())
    if found:
      yield found[0], line.strip()


def _age(cell: str) -> str:
  return str(int(cell)) if cell.isdecimal() else ""


def _joined(head: str, tail: str) -> str:
  return " ".join((head + tail).split())
