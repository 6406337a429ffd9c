"""Procedural chest phantoms as a data set; they may be shared freely."""

import re

from apppau_jax.datasets import montgomery
from apppau_jax.datasets.spec import DatasetSpec
from apppau_jax.datasets.stratified_split import former_name

COUNT = 200  # images that `phantoms.draw_set` draws by default
_NORMAL = 116  # of them, in the proportion of Montgomery; the others have tb


def example_id(number: int, *, abnormal: bool) -> str:
  """Returns the id of a phantom.

  Example:
    >>> example_id(31, abnormal=False)
    'PHANTOM_0031_normal'
  """
  return f"PHANTOM_{number:04d}_{'tb' if abnormal else 'normal'}"


def _label(name: str) -> int:
  return int(former_name(name).endswith("_1"))


DEFAULT_IDS = tuple(
  example_id(i, abnormal=i > _NORMAL) for i in range(1, COUNT + 1)
)

# The folder of each structure's masks. As in Montgomery, `leftMask` holds the
# lung on the left of the picture, which is the patient's right lung.
FOLDERS = {
  "left lung": "rightMask",
  "right lung": "leftMask",
  "heart": "heartMask",
  "left clavicle": "leftClavicleMask",
  "right clavicle": "rightClavicleMask",
}

PHANTOM = DatasetSpec(
  name="phantom",
  title="Procedural chest phantoms in the layout of the Montgomery set.",
  version="3.0.0",
  class_names=montgomery.MONTGOMERY.class_names,
  # Phantoms that an older version drew have names of Montgomery.
  stem=re.compile(r"PHANTOM_\d{4}_(normal|tb)|MCUCXR_\d{4}_[01]"),
  label=_label,
  where="MontgomerySet/CXR_png/PHANTOM_####_{normal,tb}.png",
  masks=montgomery.mask_files,
  left_folders=montgomery.MONTGOMERY.left_folders,
  structures=tuple(FOLDERS),
  structure_file=lambda name, example_id: (FOLDERS[name], f"{example_id}.png"),
  parse=montgomery.parse_reading,
)
