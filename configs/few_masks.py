"""A few masks: S starts from the model in the package.

`dataset=` is montgomery or shenzhen, `masks=` the number of masks or all,
`start=` is box or none, and `method=` is one of `METHODS`: what S learns from
the images without masks. `classes=` is the number of classes or all: a linear
classifier of S's features is fitted to them, also of images without masks;
none, the default, fits none. `launch.reproduce --table=semi` compares the
methods.

The weights of the last step are used: with a few masks, none are spared to
choose among checkpoints. With a single mask the model in the package was better
as it is (results/semi.md).

Prepare: python -m launch.prepare_data --dataset=montgomery --raw_dir=RAW
Run: python -m launch.train --workdir=runs/few \
  --config=configs/few_masks.py:dataset=montgomery,masks=3
"""

from configs import base, montgomery, shenzhen

RECIPES = {"montgomery": montgomery, "shenzhen": shenzhen}
# Passes over all training images: 240 to 320 steps.
EPOCHS = {"montgomery": 60, "shenzhen": 15}
METHODS = {
  "supervised": "nothing",
  "mean_teacher": "mean teacher (Tarvainen and Valpola 2017)",
  "uncertainty_mean_teacher": "mean teacher where it is certain (Yu 2019)",
  "cross_pseudo_supervision": "two segmentors (Chen et al. 2021)",
  "pseudo_label": "pseudo-labels with CutMix (FixMatch, French et al. 2020)",
  "unimatch": "two strong views, dropped features (Yang et al. 2023)",
  "copy_paste": "pseudo-labels, boxes of labelled images (Bai et al. 2023)",
  "adversarial": "the paper's discriminator",
}


def get_config(arg=None):
  arg = base.parse_arg(
    arg,
    dataset="montgomery",
    masks="3",
    start="box",
    method="copy_paste",
    classes="none",
  )
  if arg.dataset not in RECIPES or arg.method not in METHODS:
    raise ValueError(
      f"dataset is one of {', '.join(RECIPES)} and method one of "
      f"{', '.join(METHODS)}, not {arg.dataset} and {arg.method}"
    )
  config = _learn(RECIPES[arg.dataset].recipe(), method=arg.method)
  config.data.split = "fold-0-of-3"
  config.data.label_fraction = 1.0
  config.data.label_count = 0 if arg.masks == "all" else int(arg.masks)
  config.train.epochs = EPOCHS[arg.dataset]
  config.train.eval_every_epochs = max(1, config.train.epochs // 6)
  config.eval.checkpoint = "latest"
  config.model.base_width = 8
  config.train.start_from = arg.start
  if arg.classes != "none":
    config = base.feature_classifier(config, arg.classes)
  return base.quick(config) if arg.quick else config


def _learn(config, *, method):
  """Set what S learns from unlabelled images."""
  if method == "supervised":
    return base.segmentor_alone(config)
  if method == "adversarial":
    config = base.without_classes(base.two_players(config))
    config.discriminator.base_width = 8
    return config
  config = base.without_discriminator(base.semi_supervised(config))
  config.consistency.cutmix_with = "unlabelled"
  config.consistency.name = method
  if method == "copy_paste":
    config.consistency.name = "pseudo_label"
    config.consistency.cutmix_with = "labelled"
  return config
