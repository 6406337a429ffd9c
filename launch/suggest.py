"""Says which films of a folder to outline next.

  python -m launch.suggest --input=RAW/images --count=10 --output=next

Writes suggested.csv (the films, the most useful first), suggested.png (their
thumbnails with outlines to start from) and labels.csv, whose rows can be copied
into that of the data set. With --masks=RAW/masks the films that have masks
already count as chosen. Without --workdir the model that the package carries
describes the films; with a trained run, or better several (--workdir=A
--workdir=B), films count the more the less sure the runs are about them.
"""

import pathlib

from absl import flags

from apppau_jax import progress, runtime
from apppau_jax.errors import ConfigError, DataError
from launch import cli

_INPUT = flags.DEFINE_string("input", None, "A folder of images.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write to.")
_COUNT = flags.DEFINE_integer("count", 10, "Number of films to suggest.", 1)
_MASKS = flags.DEFINE_string("masks", None, "Folder of masks that exist.")
_WORKDIR = cli.define_models()


def main() -> None:
  """Chooses the films and prints the first."""
  if not (_INPUT.value and _OUTPUT.value):
    raise ConfigError("--input (a folder of images) and --output are needed.")
  runtime.set_up()
  from apppau_jax.experiment import loading
  from apppau_jax.inference import predict_files, suggest, suggest_files

  output = pathlib.Path(_OUTPUT.value).expanduser()
  source = pathlib.Path(_INPUT.value).expanduser()
  images = predict_files.find_images(source, output=output)
  model = loading.load(_WORKDIR.value).lungs_only()
  with progress.bar("describing") as show:
    found = suggest_files.describe(images, model=model, progress=show)
  masked = []
  if _MASKS.value:
    folder = pathlib.Path(_MASKS.value).expanduser()
    masked = suggest_files.with_masks(found.names, folder)
  trained = _WORKDIR.value != ["box"]
  chosen = suggest.choose(
    found.features,
    _COUNT.value,
    chosen=masked,
    weights=found.doubt if trained else None,
  )
  if not chosen:
    raise DataError(f"All {len(found.names)} films have masks already.")
  suggest_files.write(
    output, images=images, found=found, chosen=chosen, model=model
  )
  progress.say(
    f"{len(found.names)} films, {len(masked)} with masks; outline next: "
    f"{', '.join(found.names[i] for i in chosen[:5])}"
    f"{', ...' * (len(chosen) > 5)}; see {output / suggest_files.TABLE}"
  )
  if found.failed:
    name, reason = next(iter(found.failed.items()))
    progress.say(
      f"{len(found.failed)} films could not be read, first {name}: {reason}"
    )


if __name__ == "__main__":
  cli.run(main)
