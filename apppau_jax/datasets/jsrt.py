"""JSRT chest X-rays: 247 radiographs, 154 with a lung nodule; masks from SCR.

The owner's images have no header: 2048 x 2048 big-endian 16-bit numbers that
use 12 bits, high where the film is black. The masks come from the SCR database
(van Ginneken et al.) as a GIF of 1024 x 1024 for each structure.
"""

import re
from collections.abc import Iterator

import numpy as np

from apppau_jax.datasets.spec import (
  METADATA,
  DatasetSpec,
  File,
  MaskFiles,
  Reading,
  id_lists,
)
from apppau_jax.errors import DataError

SIDE = 2048  # pixels
BLACKEST = 4095  # of 12 bits: optical density, not brightness
NODULES, NORMAL = 154, 93
# nodule_x and nodule_y count pixels of the 2048 frame from its top left.
DETAILS = {
  "subtlety": 0,  # 1 (extremely subtle) to 5 (obvious)
  "nodule_mm": 0,
  "nodule_x": -1,
  "nodule_y": -1,
  "malignancy": "",  # malignant, benign
  "position": "",  # as in "l.upper lobe(S3)"
}
STEM = re.compile(r"JPC(LN|NN)\d{3}")
# A share of pixels above 12 bits larger than this is no 12-bit image.
_STRAY = 0.01
# Folders in which copies as PNG are found.
_PNG_FOLDERS = (
  *("images", "All247images", "Nodule154images", "NonNodule93images"),
)
_DIGITS = 4  # of a number in the tables, at most
_SEX = {"male": "M", "female": "F"}


def label(example_id: str) -> int:
  """Returns 1 for an image with a nodule (JPCLN), 0 for one without."""
  return int(example_id.startswith("JPCLN"))


def image_files(example_id: str) -> tuple[File, ...]:
  """The owner's file wherever it lies, else a copy as PNG."""
  pictures = ((folder, f"{example_id}.png") for folder in _PNG_FOLDERS)
  return ("", f"{example_id}.IMG"), ("", f"{example_id}.img"), *pictures


def mask_files(example_id: str) -> tuple[MaskFiles, ...]:
  """Left and right lung, in either fold."""
  name = f"{example_id}.gif"
  return (
    (("left lung", name), ("right lung", name)),
    (("left_lung", name), ("right_lung", name)),
  )


def read_raw(content: bytes, name: str, *, bits: int = 8) -> np.ndarray:
  """Decodes a headerless image of 12 bits and inverts it.

  The levels are 4095 - min(x, 4095), so that black film (4095, and the few
  pixels above) becomes 0. For 8 bits the lower four bits are dropped; for 16
  the 12 bits become the upper ones.

  Args:
    content: 2 * 2048 * 2048 bytes, big-endian, rows from the top.
    name: of the file, for messages.
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
      "is truncated or was converted. Get it again from its owner."
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


def parse_nodules(text: str) -> dict[str, Reading]:
  """Parses CLNDAT_EN.txt to readings by id.

  Lines end in bare CRs. TABs separate the fields: file, subtlety, millimetres,
  age, sex, x, y, malignant or benign, position (two fields), diagnosis (two
  fields). Text is cut after a number of letters, in the middle of words.
  """
  readings = {}
  for name, line in _lines(text):
    cells = [*line.split("\t"), *[""] * 12][:12]
    file, subtlety, size, age, sex, x, y, kind = (
      cell.strip() for cell in cells[:8]
    )
    if file != f"{name}.IMG" or sex.lower() not in _SEX:
      readings[name] = Reading(finding=line, understood=False)
      continue
    numbers = zip(("subtlety", "nodule_mm", "nodule_x", "nodule_y"),
                  (subtlety, size, x, y))  # fmt: skip
    readings[name] = Reading(
      sex=_SEX[sex.lower()],
      age=_age(age),
      finding=_joined(*cells[10:]),
      details={
        **{key: int(n) for key, n in numbers if _is_number(n)},
        "malignancy": kind,
        "position": re.sub(r"(?<=\w)lobe", " lobe", _joined(*cells[8:10])),
      },
    )
  return readings


def parse_normal(text: str) -> dict[str, Reading]:
  """Parses CNNDAT_EN.TXT (file, age, sex, "non-nodule") to readings by id."""
  readings = {}
  for name, line in _lines(text):
    _, age, sex, *finding = [*line.split(), "", ""]
    if sex.lower() not in _SEX:
      readings[name] = Reading(finding=line, understood=False)
      continue
    readings[name] = Reading(
      sex=_SEX[sex.lower()], age=_age(age), finding=" ".join(finding).strip()
    )
  return readings


def _lines(text: str) -> Iterator[tuple[str, str]]:
  """Yields every line that begins with an id, after that id."""
  for line in text.splitlines():
    found = STEM.match(line.strip())
    if found:
      yield found[0], line.strip()


def _age(cell: str) -> str:
  return str(int(cell)) if _is_number(cell) else ""


def _is_number(cell: str) -> bool:
  return cell.isdecimal() and len(cell) <= _DIGITS


def _joined(head: str, tail: str) -> str:
  return " ".join((head + tail).split())


JSRT = DatasetSpec(
  name="jsrt",
  title="JSRT digital image database: lung nodules; masks of SCR.",
  citation="Shiraishi et al. 2000; masks: van Ginneken et al. 2006",
  terms="Obtain it from JSRT; do not distribute. SCR: research, education.",
  class_names=("normal", "nodule"),
  ids=(
    *(f"JPCLN{number:03d}" for number in range(1, NODULES + 1)),
    *(f"JPCNN{number:03d}" for number in range(1, NORMAL + 1)),
  ),
  lists=id_lists("idiap_jsrt"),
  paper_counts=(166, 19, 62),
  stem=STEM,
  label=label,
  images=image_files,
  masks=mask_files,
  where="All247images/JPCLN###.IMG and JPCNN###.IMG",
  # SCR's sides are those of the patient.
  left_folders={
    "left lung": False,
    "right lung": True,
    "left_lung": False,
    "right_lung": True,
  },
  scaled=True,
  negatives=True,
  structures=(
    *("left lung", "right lung", "heart"),
    *("left clavicle", "right clavicle"),
  ),
  read_raw=read_raw,
  millimetres={(SIDE, SIDE): 0.175},
  tables=METADATA
  + tuple(
    (stem + suffix, parse)
    for stem, parse in (
      ("CLNDAT_EN", parse_nodules),
      ("CNNDAT_EN", parse_normal),
    )
    for suffix in (".txt", ".TXT")
  ),
  details=DETAILS,
)
