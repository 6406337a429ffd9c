"""Writes a trained model as a web page that needs no server.

index.html contains everything: the model, ONNX Runtime for browsers and the
scripts, so that it opens from a disk by a double click. Its content security
policy allows no connection at all, and of scripts only the page's own.
"""

import base64
import gzip
import hashlib
import json
import pathlib
import re
from importlib import resources

import jinja2

from apppau_jax import files
from apppau_jax.deploy import (
  artefact,
  export,
  model_card,
  onnx_model,
  page_facts,
  page_runtime,
  program,
)
from apppau_jax.deploy.page_runtime import Runtime
from apppau_jax.errors import ConfigError
from apppau_jax.inference.model import Model

NAME = "index.html"
MARK = "apppau_jax page"  # by which an older page is recognised
# In the order of their imports; each is joined to those before it.
_FILMS = ("levels", "png", "jpeg", "dicom_file", "dicom", "film")
_MASKS = ("masks", "doubt", "predict", "table")
WORKER = (*_FILMS, *_MASKS, "worker")
VIEW = ("levels", "png", "masks", "table", "film_card", "view")
_IMPORT = re.compile(r"^import .*?;\n", re.MULTILINE | re.DOTALL)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def write(
  model: Model,
  folder: pathlib.Path,
  runtime: Runtime,
  *,
  version: str,
  card: model_card.Card,
) -> None:
  """Writes index.html, and the model card as README.md.

  Args:
    model: a run, or an ensemble.
    folder: where to write; an older page is replaced.
    runtime: what computes the model in a browser.
    version: of this package.
    card: what a user should know.

  Raises:
    ConfigError: the folder holds other files, onnx is not installed, or it
      cannot express the network.
  """
  check(folder)
  stated = export.facts(model)
  onnx = onnx_model.build(program.trace(model))
  page = render(
    facts=page_facts.facts(stated),
    data={"model": onnx, "runtime": runtime.script, "wasm": runtime.wasm},
    about={
      "card": card,
      "limits": model_card.limits(stated),
      "sha256": hashlib.sha256(onnx).hexdigest(),
      "version": version,
      "runtime": page_runtime.PACKAGE,
    },
  )
  text = model_card.render(card, stated)
  files.write_bytes(folder / artefact.CARD, text.encode())
  files.write_bytes(folder / NAME, page.encode())


def check(folder: pathlib.Path) -> None:
  """Checks what can be checked before a model is loaded; see `write`."""
  if not onnx_model.available():
    raise ConfigError(
      "The package onnx is not installed, which --page needs. Install it with "
      "`python -m pip install -e '.[onnx]'`."
    )
  if folder.exists() and not folder.is_dir():
    raise ConfigError(f"--page={folder} is a file. Name a folder.")
  if folder.is_dir() and any(folder.iterdir()) and not _is_page(folder):
    raise ConfigError(
      f"--page={folder} holds files that are not a page of this package. Name "
      "a new folder, or one that an export has written."
    )


def _is_page(folder: pathlib.Path) -> bool:
  path = folder / NAME
  if not path.is_file():
    return False
  with path.open("rb") as file:
    return MARK.encode() in file.read(4096)


def render(*, facts: dict, data: dict[str, bytes], about: dict) -> str:
  """Returns the page.

  Args:
    facts: what the scripts know.
    data: files that the scripts unpack, by name.
    about: texts that describe the model, by name.
  """
  package = resources.files("apppau_jax.deploy") / "page"
  style = (package / "page.css").read_text(encoding="utf-8")
  view = script(VIEW)
  environment = jinja2.Environment(
    autoescape=True,
    loader=jinja2.FunctionLoader(
      lambda name: (package / name).read_text(encoding="utf-8")
    ),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  embedded = {"facts": json.dumps(facts).encode()}
  embedded |= {"worker": script(WORKER).encode(), **data}
  return environment.get_template("index.html.jinja").render(
    mark=MARK,
    style=style,
    style_hash=_source_hash(style),
    view=view,
    view_hash=_source_hash(view),
    embedded={name: _packed(content) for name, content in embedded.items()},
    facts=facts,
    **about,
  )


def script(modules: tuple[str, ...]) -> str:
  """Joins JavaScript modules to one script, without imports and exports."""
  package = resources.files("apppau_jax.deploy") / "page"
  parts = []
  for name in modules:
    source = (package / f"{name}.js").read_text(encoding="utf-8")
    parts.append(_EXPORT.sub("", _IMPORT.sub("", source)))
  return '"use strict";\n' + "\n".join(parts)


def _source_hash(source: str) -> str:
  """The hash by which a content security policy knows a script or a style."""
  digest = hashlib.sha256(source.encode()).digest()
  return f"sha256-{base64.b64encode(digest).decode()}"


def _packed(content: bytes) -> str:
  return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
