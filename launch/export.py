"""Exports a trained run, so that it predicts without this package.

  python -m launch.export --workdir=runs/mc --output=model
  python -m launch.export --workdir=runs/mc --page=page

Writes model.onnx (ONNX Runtime), model.stablehlo (JAX alone), model.json
(classes, structures, resolution, threshold, versions, SHA-256 of each file) and
README.md, a model card. Both programs take a grey image of any size and return
probabilities at its size. Several runs, --workdir=A --workdir=B, become one
ensemble; a --workdir may also be a model file, and without one the model that
the package carries is exported. docs/export.md tells how the
files are used; `apppau_jax.load("model")` reads the folder too.

--page writes page/index.html, which a browser opens from the disk: films are
predicted in it, and nothing leaves the machine. npm fetches ONNX Runtime for
browsers once; without a network, give its package as --page_runtime.
"""

import pathlib

from absl import flags

from apppau_jax import progress, runtime
from apppau_jax.errors import ConfigError
from launch import cli

_WORKDIR = cli.define_models()
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write to.")
_PAGE = flags.DEFINE_string("page", None, "Folder to write a web page to.")
_RUNTIME = flags.DEFINE_string(
  "page_runtime",
  None,
  "File of ONNX Runtime for browsers, from `npm pack`; npm fetches it if none "
  "is given.",
)
_ONNX = flags.DEFINE_bool("onnx", True, "Write model.onnx (extra onnx).")


def main() -> None:
  """Exports, and prints what was written."""
  if not _OUTPUT.value and not _PAGE.value:
    raise ConfigError("--output or --page is needed: a folder to write to.")
  if _RUNTIME.value and not _PAGE.value:
    raise ConfigError("--page_runtime has an effect with --page only.")
  runtime.set_up()
  from apppau_jax.experiment import export_run

  if _OUTPUT.value:
    output = pathlib.Path(_OUTPUT.value).expanduser()
    export_run.export_runs(_WORKDIR.value, output, onnx=_ONNX.value)
    _say(output)
  if _PAGE.value:
    page = pathlib.Path(_PAGE.value).expanduser()
    package = None
    if _RUNTIME.value:
      package = pathlib.Path(_RUNTIME.value).expanduser()
    export_run.export_page(_WORKDIR.value, page, package=package)
    _say(page)


def _say(folder: pathlib.Path) -> None:
  sizes = [
    f"{path.name} {path.stat().st_size / 1e6:.1f} MB"
    for path in sorted(folder.iterdir())
    if path.suffix != ".md"
  ]
  progress.say(f"{folder}: {', '.join(sizes)}, README.md")


if __name__ == "__main__":
  cli.run(main)
