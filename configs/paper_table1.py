"""The protocol of Table 1, segmentation only, as the paper describes it.

No augmentation, Adam with beta1 0.9, batch size 16, 300 epochs, the last
weights without averaging. The paper prints no learning rate for this table;
1e-3 is our choice. Its numbers (JS 0.90 to 0.98) are pixel accuracies, see
docs/paper.md: compare them with `paper_compat.js_pixel_accuracy`, never with
`segmentation.jaccard`.

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
  config.loss.kl_channels = "roi"  # the equation as printed
  config.loss.kl_eps = 1e-7
  config.optim.schedule = "constant"
  config.optim.ema_decay = 0.0
  config.train.epochs = 300
  config.train.eval_every_epochs = 20
  config.eval.checkpoint = "latest"
  return base.quick(config) if arg.quick else config
