"""From runs to exported folders: what the card states, and the command."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import apppau_jax
from apppau_jax.errors import CheckpointError
from apppau_jax.experiment import (
  export_run,
  loading,
  model_file,
  networks,
  restoring,
  run_folder,
)
from configs import appau_phantom


@pytest.fixture
def config():
  config = appau_phantom.get_config()
  config.model.preset, config.model.base_width = "ppau_unet", 1
  config.discriminator.base_width = 1
  config.data.dataset = "montgomery+phantom"
  return config


def _report(dice):
  return {
    "n": 14,
    "segmentation": {"dice": {"mean": dice, "ci95": [dice - 0.1, dice]}},
    "classification": {"auroc": 0.75, "ci95": {"auroc": [0.5, 1.0]}},
    "notes": ["Procedural phantoms, not patients."],
  }


def test_the_card_states_what_the_runs_report(config, tmp_path, monkeypatch):
  variables = {key: {"params": {}} for key in ("segmentor", "discriminator")}
  monkeypatch.setattr(restoring, "weights", lambda *_, **__: (variables, 9))
  for name in "ab":
    run_folder.claim(tmp_path / name, config.to_dict())
    path = tmp_path / name / "eval" / "test" / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(_report(0.9)))
  runs = loading.load_runs([tmp_path / "a", tmp_path / "b"])
  card = export_run.card(runs)
  where = "test of montgomery+phantom"
  assert card.metrics[:2] == [
    (f"dice (a, {where})", "14", "0.900", "0.800 to 0.900"),
    (f"auroc (a, {where})", "14", "0.750", "0.500 to 1.000"),
  ]
  assert len(card.metrics) == 4
  assert card.notes[0] == "Procedural phantoms, not patients."
  assert "not of their mean" in card.notes[1]
  training = dict(card.training)
  assert training["a: data"] == "montgomery+phantom"
  assert training["b: checkpoint"].endswith("step 9")
  assert training["a: classifier"] == "normal, tb"
  terms = {row[0]: row[1] for row in card.terms}
  assert "do not share" in terms["montgomery"]
  assert "drawn by apppau_jax" in terms["phantom"]


@pytest.mark.slow
def test_a_model_file_is_exported_by_the_command(config, tmp_path):
  config = apppau_jax.Config.from_dict(config.to_dict())
  init = jax.jit(lambda: networks.init(config, seed=0))
  model = model_file.ModelFile(
    config=config, variables=jax.device_get(init().averages), step=3
  )
  path, output = tmp_path / "model.safetensors", tmp_path / "model"
  model_file.write(path, model)
  command = [sys.executable, "-m", "launch.export"]
  done = subprocess.run(
    [*command, f"--workdir={path}", f"--output={output}", "--noonnx"],
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  assert "model.stablehlo" in done.stdout
  image = np.random.default_rng(0).integers(0, 256, (90, 70)).astype(np.uint8)
  one, other = (apppau_jax.load(p).predict(image) for p in (path, output))
  np.testing.assert_allclose(one.probability, other.probability, atol=1e-4)
  facts = json.loads((output / "model.json").read_text())
  assert facts["identity"]["step"] == 3
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "README.md").write_text("mine")
  done = subprocess.run(
    [*command, f"--workdir={path}", f"--output={tmp_path / 'other'}",
     "--noonnx"],
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 2
  assert "other" in done.stderr


def test_a_folder_without_a_run_is_named(tmp_path):
  with pytest.raises(CheckpointError, match="nothing"):
    export_run.export_runs([tmp_path / "nothing"], tmp_path / "out", onnx=False)
  assert not (tmp_path / "out").exists()
