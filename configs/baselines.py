"""Baselines and ablations of the semi-supervised recipe at 10 % of the labels.

`name=` is one of
  supervised          supervised-only baseline: S alone, the same 10 % of masks
  ceiling             both players, all masks and classes
  supervised_ceiling  S alone, all masks
  no_adversarial      D classifies, but S has no adversarial term
  no_classification   D distinguishes real from predicted pairs only
  no_consistency      no pseudo-labels of masks or classes
  no_discriminator    S alone, with pseudo-labels of masks
  no_pyramid, no_attention, no_progressive  S without this part

Run: python -m launch.train --workdir=runs/baseline \
  --config=configs/baselines.py:dataset=shenzhen,name=supervised
"""

from configs import appau_montgomery, appau_phantom, appau_shenzhen, base

RECIPES = {
  "montgomery": appau_montgomery,
  "shenzhen": appau_shenzhen,
  "phantom": appau_phantom,
}
PRESETS = {
  "no_pyramid": "progressive_attention_unet",
  "no_attention": "pyramid_progressive_unet",
  "no_progressive": "pyramid_attention_unet",
}


def get_config(arg=None):
  arg = base.parse_arg(arg, dataset="montgomery", name="supervised")
  if arg.dataset not in RECIPES:
    raise ValueError(
      f"dataset={arg.dataset} has no recipe; there are {', '.join(RECIPES)}"
    )
  config = RECIPES[arg.dataset].get_config()
  match arg.name:
    case "supervised":
      base.segmentor_alone(config)
    case "ceiling":
      base.all_labelled(config)
    case "supervised_ceiling":
      base.all_labelled(base.segmentor_alone(config))
    case "no_adversarial":
      base.without_adversarial(config)
    case "no_classification":
      base.without_classes(config)
    case "no_consistency":
      base.without_consistency(config)
    case "no_discriminator":
      base.without_discriminator(config)
    case name if name in PRESETS:
      config.model.preset = PRESETS[name]
    case name:
      raise ValueError(
        f"name={name} is not a baseline; see configs/baselines.py"
      )
  return base.quick(config) if arg.quick else config
