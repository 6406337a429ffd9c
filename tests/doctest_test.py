"""The examples in the docstrings run and give what they show."""

import doctest
import importlib
import pathlib

import pytest

import apppau_jax
from apppau_jax import losses, metrics, models

ROOT = pathlib.Path(apppau_jax.__file__).parent
# Read as text, so that only modules with examples are imported.
MODULES = [
  ".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts))
  for path in sorted(ROOT.rglob("*.py"))
  if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)  # an example may write files
  module = importlib.import_module(name.removesuffix(".__init__"))
  failed, attempted = doctest.testmod(module)
  assert attempted
  assert not failed


@pytest.mark.parametrize(
  "public",
  [
    *losses.LOSSES.values(),
    losses.deep_supervision_loss,
    losses.kl_divergence_loss,
    models.Discriminator,
    models.Segmentor,
    models.from_preset,
    *(getattr(metrics, name) for name in metrics.__all__),
  ],
  ids=lambda public: public.__name__,
)
def test_the_main_functions_have_an_example(public):
  assert ">>> " in public.__doc__
