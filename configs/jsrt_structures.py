"""The five structures of JSRT, each with a mask of its own.

Not measured: no copy of JSRT was available. The builder is tested on phantoms
in its layout. Side targets are soft because a clavicle is a few pixels thick:
at an eighth of the size it covers no pixel by half, so that a hard target would
be empty.

Prepare: python -m launch.prepare_data --dataset=jsrt --raw_dir=RAW
Run: python -m launch.train --config=configs/jsrt_structures.py \
  --workdir=runs/jsrt_structures
"""

from configs import base, jsrt

STRUCTURES = (
  *("left_lung", "right_lung", "heart"),
  *("left_clavicle", "right_clavicle"),
)


def get_config(arg=None):
  arg = base.parse_arg(arg)
  config = jsrt.get_config()
  config.data.structures = STRUCTURES
  config.loss.side_target = "soft"
  return base.quick(config) if arg.quick else config
