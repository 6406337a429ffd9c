"""The protocol of Table 2 as the paper describes it: 10 % of the labels.

Adam with beta1 0.9, learning rates 1e-5 for S and 1e-4 for D, batch size 16 (8
labelled, 8 not), 300 epochs, dropout 0.4, no augmentation, eq. (6) over n + 1
classes, the last weights without averaging. 300 epochs are only 1800 steps on
Montgomery: at 1e-5 S is far from converged, as the paper's own figures show
(docs/paper.md).

Run: python -m launch.train --workdir=runs/table2 \
  --config=configs/paper_table2.py:dataset=montgomery,loss=kl_tversky
"""

from configs import base


def get_config(arg=None):
  arg = base.parse_arg(arg, dataset="montgomery", loss="kl_tversky")
  config = base.two_players(base.get_config())
  config.data.dataset = arg.dataset
  config.data.split = "paper"
  config.loss.name = arg.loss
  config.loss.kl_channels = "roi"  # the equation as printed
  config.loss.kl_eps = 1e-7
  config.discriminator.conditional = False  # eq. (10)
  config.optim.learning_rate = 1e-5
  config.optim.schedule = "constant"
  config.optim.ema_decay = 0.0
  config.train.epochs = 300
  config.train.eval_every_epochs = 20
  config.eval.checkpoint = "latest"
  return base.quick(config) if arg.quick else config
