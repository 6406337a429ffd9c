"""Procedural chest phantoms as a data set; they may be shared freely."""

from apppau_jax.datasets import montgomery
from apppau_jax.datasets.spec import DatasetSpec

COUNT = 200  # images that `phantoms.draw_set` draws by default
_NORMAL = 116  # of them, in the proportion of Montgomery; the others have tb
DEFAULT_IDS = tuple(
  f"MCUCXR_{i:04d}_{int(i > _NORMAL)}" for i in range(1, COUNT + 1)
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
  stem=montgomery.MONTGOMERY.stem,
  masks=montgomery.mask_files,
  left_folders=montgomery.MONTGOMERY.left_folders,
  structures=tuple(FOLDERS),
  structure_file=lambda name, example_id: (FOLDERS[name], f"{example_id}.png"),
  parse=montgomery.parse_reading,
)
