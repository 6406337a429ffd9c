"""A few masks: S starts from the model in the package.

`dataset=` is montgomery or shenzhen, `masks=` the number of masks, `start=` is
box or none, and `method=` is supervised or semi (pseudo-labels of the images
without masks).

Prepare: python -m launch.prepare_data --dataset=montgomery --raw_dir=RAW
Run: python -m launch.train --workdir=runs/few \
  --config=configs/few_masks.py:dataset=montgomery,masks=3
"""

from configs import base, montgomery, shenzhen

RECIPES = {"montgomery": montgomery, "shenzhen": shenzhen}
METHODS = ("supervised", "semi")
STEPS = 240


def get_config(arg=None):
  arg = base.parse_arg(
    arg, dataset="montgomery", masks="3", start="box", method="supervised"
  )
  if arg.dataset not in RECIPES or arg.method not in METHODS:
    raise ValueError(
      f"dataset is one of {', '.join(RECIPES)} and method one of "
      f"{', '.join(METHODS)}, not {arg.dataset} and {arg.method}"
    )
  config = RECIPES[arg.dataset].recipe()
  config = base.without_discriminator(base.semi_supervised(config))
  if arg.method == "supervised":
    config = base.segmentor_alone(config)
  config.data.split = "fold-0-of-3"
  config.data.label_count = int(arg.masks)
  per_pass = max(1, config.data.label_count // config.train.batch_size)
  config.train.epochs = STEPS // per_pass
  config.train.eval_every_epochs = config.train.epochs // 6
  config.model.base_width = 8
  config.train.start_from = arg.start
  return base.quick(config) if arg.quick else config
