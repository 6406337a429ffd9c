"""Draws what the networks are trained on, before any training.

  python -m launch.show_batch --config=configs/appau_montgomery.py \
    --output=runs/batch.png

The picture has the images of the first minibatch as they are prepared and as
a step may see them, with the outline of the mask where it is known. Of
unlabelled images it has the weak view and, where the segmentor learns from
them, strong views. The random draws are not those of the first training step.
The picture shows patients: keep it out of version control.
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from apppau_jax import progress, runtime
from apppau_jax.errors import ConfigError
from launch import cli

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "configs/NAME.py, or configs/NAME.py:quick"
)
_OUTPUT = flags.DEFINE_string("output", None, "The picture to write, a .png.")


def main() -> None:
  """Draws, and prints where the picture is."""
  if _CONFIG.value is None or not _OUTPUT.value:
    raise ConfigError(
      "Both --config and --output are needed, for instance --config="
      "configs/phantom.py --output=runs/batch.png."
    )
  output = pathlib.Path(_OUTPUT.value).expanduser()
  if output.suffix.lower() != ".png":
    raise ConfigError(f"--output={_OUTPUT.value} must end in .png.")
  config = cli.configuration(_CONFIG)
  runtime.set_up()
  from apppau_jax import files
  from apppau_jax.experiment import batch_views
  from apppau_jax.reports import montage

  rows = batch_views.batch_views(config)
  heading = (
    f"First minibatch of {config.data.dataset} at {config.data.resolution} px"
  )
  picture = montage.views(rows, title="batch", heading=heading)["png"]
  files.write_bytes(output, picture)
  progress.say(f"wrote {output}")


if __name__ == "__main__":
  cli.run(main)
