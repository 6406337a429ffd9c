"""What validation during training can and cannot select by."""

import numpy as np
import pytest

from apppau_jax.datasets import examples
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import predictors
from apppau_jax.training import parallel
from configs import appau_phantom


def _validation(label, *, select_by="auroc"):
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
  return predictors.validation(config, source, parallel.own_mesh())


def test_auroc_needs_an_image_of_every_class():
  """It is the mean over the classes: of an absent one it is undefined."""
  for by in ("auroc", "dice_auroc"):
    with pytest.raises(ConfigError, match=r"none is of nodule\. Select by"):
      _validation([0, 1, 0, -1], select_by=by)
    assert callable(_validation([0, 1, 2], select_by=by))
  with pytest.raises(ConfigError, match=r"none is of tb, nodule"):
    _validation([0, 0])
  assert callable(_validation([0, 0], select_by="dice"))
