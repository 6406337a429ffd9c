"""Table 1's protocol: segmentation only, as literally as the text allows.

No augmentation, Adam with beta1 .9, batch 16, 300 epochs, the last weights,
no averaging. The paper prints no rate for this table; 1e-3 is ours. Its
numbers (JS .90-.98) are pixel accuracies, see docs/paper.md: compare them with
`paper_compat.js_pixel_accuracy`, never with `segmentation.jaccard`.

Run: python -m launch.train --workdir=runs/table1 \
  --config=configs/paper_table1.py:dataset=montgomery,model=ppau_unet,loss=tversky
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(
    arg, dataset="montgomery", model="ppau_unet", loss="kl_tversky"
  )
  config = base.get_config()
  config.data.dataset = arg.dataset
  config.data.split = "paper"
  config.model.preset = arg.model
  config.loss.name = arg.loss
  config.loss.kl_channels = "roi"  # the literal equation
  config.loss.kl_eps = 1e-7
  config.optim.schedule = "constant"
  config.optim.ema_decay = 0.0
  config.train.epochs = 300
  config.train.eval_every_epochs = 20
  config.eval.checkpoint = "latest"
  return base.quick(config) if arg.quick else config
