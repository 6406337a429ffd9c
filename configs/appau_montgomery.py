"""Our recipe at a tenth of Montgomery's masks and classes.

An earlier form (another D, chosen by Dice and AUROC), small (width 8, 60
epochs, ten masks): lung Dice .960 and .969 in two draws, as supervised-only;
AUROC .67 to .76. results/appau.md.

Prepare: python -m launch.prepare_data --dataset=montgomery --raw_dir=RAW
Run: python -m launch.train --workdir=runs/appau_mc \
  --config=configs/appau_montgomery.py
"""

from configs import base, montgomery


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = base.semi_supervised(montgomery.get_config())
  return base.quick(config) if arg.quick else config
