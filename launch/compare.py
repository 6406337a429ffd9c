"""Compares runs on the same images, image by image.

  python -m launch.compare --a=runs/cps --b=runs/supervised
  python -m launch.compare --a=runs/cps_0 --a=runs/cps_1 \
    --b=runs/sup_0 --b=runs/sup_1 --output=runs/cps_against_supervised

Prints the mean paired difference with its 95 % interval and the p-value of
Wilcoxon's signed-rank test over images. With --output also writes compare.json,
with the difference of every image, and compare.png and compare.svg. Runs of
equal seed and data.label_seed are paired; if the two sides do not have the same
ones, each side is averaged for each image.
"""

import pathlib

from absl import flags

from apppau_jax import progress
from apppau_jax.errors import ConfigError
from launch import cli

_A = flags.DEFINE_multi_string("a", None, "A run folder; repeat it for seeds.")
_B = flags.DEFINE_multi_string("b", None, "Likewise, to compare it with.")
_SPLIT = flags.DEFINE_enum(
  "split", "test", ("validation", "test"), "Part to compare on."
)
_METRIC = flags.DEFINE_string(
  "metric", "dice", "A metric of each image, such as dice or hausdorff95."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write to.")


def main() -> None:
  """Compares and prints."""
  if not (_A.value and _B.value):
    raise ConfigError(
      "Both --a and --b are needed: the folders of runs to compare."
    )
  from apppau_jax import files
  from apppau_jax.paper import compare_runs

  found = compare_runs.compare(
    _A.value, _B.value, part=_SPLIT.value, metric=_METRIC.value
  )
  for line in compare_runs.summary(found):
    progress.say(line)
  if _OUTPUT.value:
    folder = pathlib.Path(_OUTPUT.value).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "compare.json", found)
    for suffix, content in compare_runs.plot(found).items():
      files.write_bytes(folder / f"compare.{suffix}", content)
    progress.say(f"wrote {folder / 'compare.json'} and {folder}/compare.png")


if __name__ == "__main__":
  cli.run(main)
