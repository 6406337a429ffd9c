"""The card: what it states, and that its lines of Python run elsewhere."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from fixtures import tiny_models
from PIL import Image

from apppau_jax.deploy import artefact, export, model_card
from apppau_jax.deploy.model_card import Card
from apppau_jax.errors import ConfigError

CONSTRAINTS = pathlib.Path(__file__).parents[2] / "constraints.txt"


def test_names_are_no_markup(exported):
  facts = json.loads((exported / artefact.FACTS).read_text())
  facts["classes"] = ["a|b", "<script>", "c\nd"]
  text = model_card.render(
    Card(
      training=[("data", "montgomery")],
      metrics=[("dice", "14", "0.972", "0.965 to 0.978")],
      notes=["One note."],
      terms=[("montgomery", "Attribute.", "Jaeger 2014")],
    ),
    facts,
  )
  assert "| dice | 14 | 0.972 | 0.965 to 0.978 |" in text
  assert "| montgomery | Attribute. | Jaeger 2014 |" in text
  assert "a\\|b" in text
  assert "<script>" not in text
  assert "c\\\\nd" in text
  assert "not a medical device" in text


def test_facts_state_every_file(exported):
  facts = json.loads((exported / artefact.FACTS).read_text())
  for name in (artefact.STABLEHLO, artefact.CARD):
    content = (exported / name).read_bytes()
    assert facts["files"][name] == artefact.describe(content)
  assert facts["temperature"] == [1.5, 2.5]
  assert facts["identity"] == {"step": 7}
  assert facts["versions"]["apppau_jax"] == "0"
  assert facts["outputs"]["probability"]["shape"] == ["h", "w", 2]


def test_a_folder_of_other_files_is_not_written_into(tmp_path):
  (tmp_path / "README.md").write_text("mine")
  with pytest.raises(ConfigError, match="not an exported model"):
    export.check(tmp_path, onnx=False)
  with pytest.raises(ConfigError, match="is a file"):
    export.check(tmp_path / "README.md", onnx=False)


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  with pytest.raises(ConfigError, match=r"\[onnx\].*--noonnx"):
    export.check(tmp_path / "new", onnx=True)


def _call(*command, cwd=None):
  """Runs a command that sees nothing of this environment's packages."""
  kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
  environment = kept | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
  subprocess.run(command, cwd=cwd, env=environment, check=True)


def _environment(folder, *packages):
  """A new environment that holds these packages alone."""
  _call(sys.executable, "-m", "venv", folder)
  python = folder / "bin" / "python"
  _call(python, "-m", "pip", "install", "-q", "-c", CONSTRAINTS, *packages)
  return python


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 16])
def test_the_cards_lines_run_where_the_package_is_not(tmp_path, bits):
  """ONNX Runtime beside NumPy and Pillow, and JAX alone."""
  pytest.importorskip("onnx")
  model = tiny_models.ensemble(bits=bits)
  folder = tmp_path / "model"
  export.write(model, folder, version="0", identity={}, card=Card())
  film = tiny_models.film(61, 40, bits=16 if bits == 16 else 8)
  Image.fromarray(film).save(folder / "film.png")
  text = (folder / artefact.CARD).read_text()
  by_onnx, by_jax = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
  save = "np.save('image', image); np.save('onnx', probability)\n"
  absent = "import importlib.util as u\nassert not u.find_spec('{}')\n"
  python = _environment(tmp_path / "a", "numpy", "pillow", "onnxruntime")
  code = absent.format("jax") + absent.format("apppau_jax") + by_onnx + save
  _call(python, "-I", "-c", code, cwd=folder)
  python = _environment(tmp_path / "b", "jax", "flatbuffers")
  code = absent.format("flax") + absent.format("PIL") + "import numpy as np\n"
  code += f"image = np.load('image.npy')\n{by_jax}np.save('jax', probability)"
  _call(python, "-I", "-c", code, cwd=folder)
  wanted = model.predict(folder / "film.png").probability
  for name in ("onnx", "jax"):
    found = np.load(folder / f"{name}.npy")
    np.testing.assert_allclose(found, wanted, atol=1e-4)
