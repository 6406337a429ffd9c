"""Both players on the paper's union of Montgomery, Shenzhen and JSRT.

There are three classes, and each data set has two of them: an answer by data
set alone is right for 513 of 912 images (56 %), which an accuracy has to
exceed. The split `paper` has the sizes of Table 3, 615/69/228. Not measured,
see configs/jsrt.py.

Prepare the three data sets, then
Run: python -m launch.train --config=configs/ccx.py --workdir=runs/ccx
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.semi_supervised(base.lung_recipe())
  config.data.dataset = "ccx"
  config.data.split = "paper"
  config.optim.warmup_epochs = 1.0
  config.train.epochs = 45
  config.train.eval_every_epochs = 3
  return base.quick(config) if arg.quick else config
