"""Exports a trained run, so that it predicts without this package.

  python -m launch.export --workdir=runs/mc --output=model

Writes model.onnx (ONNX Runtime), model.stablehlo (JAX alone), model.json
(classes, structures, resolution, threshold, versions, SHA-256 of each file) and
README.md, a model card. Both programs take a grey image of any size and return
probabilities at its size. Several runs, --workdir=A --workdir=B, become one
ensemble; a --workdir may also be a model file, and without one the model that
the package carries is exported. docs/export.md tells how the
files are used; `apppau_jax.load("model")` reads the folder too.
"""

import pathlib

from absl import flags

from apppau_jax import progress, runtime
from apppau_jax.errors import ConfigError
from launch import cli

_WORKDIR = cli.define_models()
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write to.")
_ONNX = flags.DEFINE_bool("onnx", True, "Write model.onnx (extra onnx).")


def main() -> None:
  """Exports, and prints what was written."""
  if not _OUTPUT.value:
    raise ConfigError("--output is needed: a folder to write to.")
  runtime.set_up()
  from apppau_jax.experiment import export_run

  output = pathlib.Path(_OUTPUT.value).expanduser()
  export_run.export_runs(_WORKDIR.value, output, onnx=_ONNX.value)
  sizes = [
    f"{path.name} {path.stat().st_size / 1e6:.1f} MB"
    for path in sorted(output.glob("model.*"))
  ]
  progress.say(f"{output}: {', '.join(sizes)}, README.md")


if __name__ == "__main__":
  cli.run(main)
