"""Procedural chest phantoms as a data set; they may be shared freely."""

from apppau_jax.datasets import montgomery
from apppau_jax.datasets.spec import DatasetSpec

COUNT = 200  # images that `phantoms.draw_set` draws by default
_NORMAL = 116  # of them, in the proportion of Montgomery; the others have tb
DEFAULT_IDS = tuple(
  f"MCUCXR_{i:04d}_{int(i > _NORMAL)}" for i in range(1, COUNT + 1)
)

PHANTOM = DatasetSpec(
  name="phantom",
  title="Procedural chest phantoms in the layout of the Montgomery set.",
  version="2.0.0",
  class_names=montgomery.MONTGOMERY.class_names,
  stem=montgomery.MONTGOMERY.stem,
  masks=montgomery.mask_files,
  left_folders=montgomery.MONTGOMERY.left_folders,
  parse=montgomery.parse_reading,
)
