"""What validation during training can and cannot select by."""

import numpy as np
import pytest

from apppau_jax.datasets import examples
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import validation
from apppau_jax.training import parallel
from configs import appau_phantom


@pytest.mark.parametrize(
  ("label", "select_by", "absent"),
  [
    ([0, 1, 2], "auroc", ""),
    ([0, 1, 2], "dice_auroc", ""),
    ([0, 0], "dice", ""),
    ([0, 1, 0, -1], "auroc", "nodule"),
    ([0, 1, 0, -1], "dice_auroc", "nodule"),
    ([0, 0], "auroc", "tb, nodule"),
  ],
)
def test_auroc_needs_an_image_of_every_class(label, select_by, absent):
  """It is the mean over the classes: of an absent one it is undefined."""
  config = appau_phantom.get_config()
  config.data.class_names = ("normal", "tb", "nodule")
  config.train.select_by = select_by
  images = np.zeros((len(label), 16, 16, 1), np.uint8)
  source = examples.Examples(
    ids=tuple(map(str, range(len(label)))),
    image=images,
    mask=images,
    label=np.asarray(label, np.int32),
    has_mask=np.ones(len(label), bool),
    has_label=np.asarray(label) >= 0,
  )
  if not absent:
    validation.validation(config, source, parallel.own_mesh())
    return
  with pytest.raises(ConfigError, match=f"none of {absent}"):
    validation.validation(config, source, parallel.own_mesh())
