"""Raw phantoms to report.html, killed and resumed, as a user would."""

import functools
import json
import re
import signal
import subprocess
import time

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image


def _digests(workdir, step):
  path = workdir / "checkpoints" / "latest" / str(step) / "integrity"
  return json.loads((path / "metadata").read_text())


def _last_step(workdir):
  steps = (workdir / "checkpoints" / "latest").glob("[0-9]*")
  return max(int(s.name) for s in steps if s.name.isdigit())


# One player, and two with every part of the state that there can be.
ALONE = {"flags": (), "config": "phantom.py:quick"}
GAME = {
  "flags": (
    "--config.model.preset=unet",  # compiles in half the time
    "--config.data.label_count=4",
    "--config.train.unlabelled_in_batch=2",
    "--config.discriminator.base_width=1",
    "--config.consistency.name=mean_teacher",
    "--config.eval.temperature_scaling=true",
  ),
  "config": "appau_phantom.py:quick",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ALONE, GAME], ids=["alone", "game"])
def test_end_to_end_then_killed_and_resumed(
  call, command, tmp_path, kind, monkeypatch
):
  """One test, for the runs it compares are what costs the time."""
  if kind is GAME:  # of which no other test compiles anything
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
  plain, call = call, functools.partial(_with, call, **kind)
  command = functools.partial(_with, command, **kind)
  whole = tmp_path / "whole"
  done = call(whole)
  assert done.returncode == 0, done.stderr
  last = _last_step(whole)
  _check_artefacts(whole, done, last=last)
  if kind is GAME:
    _check_diagnosis(whole)

  _predict_a_picture(plain, whole, tmp_path, game=kind is GAME)

  killed = tmp_path / "killed"
  _stop(command(killed), killed, signum=signal.SIGKILL)
  status = json.loads((killed / "manifest.json").read_text())["status"]
  assert status == "running"  # what a killed run looks like
  again = call(killed)
  assert again.returncode == 0, again.stderr
  assert _digests(killed, last) == _digests(whole, last)
  metrics = (killed / "metrics.jsonl").read_text()
  assert metrics == (whole / "metrics.jsonl").read_text()

  _two_runs_as_one(plain, whole, killed, game=kind is GAME)
  _other_data_is_refused(call, killed)
  other = call(killed, "--config.optim.learning_rate=0.5")
  assert other.returncode == 2
  assert "optim.learning_rate: 0.002" in other.stderr


def _with(run, workdir, *more, flags, config):
  return run(workdir, *flags, *more, config=config)


def _predict_a_picture(call, workdir, tmp_path, *, game):
  """The trained run on a picture of another size, without its data set."""
  films = tmp_path / "films"
  films.mkdir()
  rng = np.random.default_rng(0)
  picture = rng.integers(0, 256, (90, 140)).astype(np.uint8)
  Image.fromarray(picture).save(films / "film.png")
  flags = (f"--input={films}", f"--output={tmp_path / 'masks'}")
  done = call(workdir, *flags, module="predict")
  assert done.returncode == 0, done.stderr
  with Image.open(tmp_path / "masks/film_mask.png") as mask:
    assert mask.size == (140, 90)
  table = (tmp_path / "masks/predictions.csv").read_text().splitlines()
  assert ("probability_normal,probability_tb" in table[0]) == game
  # Noise to a network of 18 steps: its outline may be called doubtful.
  assert re.match(r"film\.png,film_mask\.png,(ok,|remark,.+),0\.", table[1])


def _two_runs_as_one(call, whole, killed, *, game):
  """The mean of twins is what each of them says."""
  both = whole.parent / "both"
  flags = (f"--workdir={killed}", f"--output={both}")
  done = call(whole, *flags, module="evaluate")
  assert done.returncode == 0, done.stderr
  alone = json.loads((whole / "eval/test/report.json").read_text())
  found = json.loads((both / "report.json").read_text())
  assert found["seed"] == [0, 0]
  count = alone["parameters"]["segmentor"]
  assert found["parameters"]["segmentor"] == 2 * count
  assert found["segmentation"] == alone["segmentation"]
  assert found["paper_compat"] == alone["paper_compat"]
  if game:
    for row, own in zip(found["per_image"], alone["per_image"], strict=True):
      assert row["probs"] == pytest.approx(own["probs"], abs=1e-6)
  page = (both / "report.html").read_text()
  assert "The mean of 2 networks" in page


def _check_diagnosis(workdir):
  report = json.loads((workdir / "eval/test/report.json").read_text())
  assert report["parameters"]["discriminator"] > 0
  found = report["classification"]
  assert found["n"] == report["n"]
  assert found["temperature"] > 0
  assert found["majority_accuracy"] >= 0.5
  probs = [row["probs"]["tb"] for row in report["per_image"]]
  true = [row["label"] == "tb" for row in report["per_image"]]
  assert found["auroc"] == pytest.approx(
    sklearn.metrics.roc_auc_score(true, probs)
  )
  assert "not a result" in report["classification_oracle_mask"]["note"]
  labels = json.loads((workdir / "labels.json").read_text())
  splits = json.loads((workdir / "splits.json").read_text())
  assert labels["masks"] == splits["train_labelled"]
  train = {*splits["train_labelled"], *splits["train_unlabelled"]}
  assert set(labels["classes"]) == train  # as the recipe has it
  assert len(labels["masks"]) == 4
  assert len(splits["train_unlabelled"]) > 4


def _other_data_is_refused(call, workdir):
  path = workdir / "manifest.json"
  manifest = path.read_text()
  digest = json.loads(manifest)["data_sha256"]
  path.write_text(manifest.replace(digest, "0" * 64))
  refused = call(workdir)
  assert refused.returncode == 3
  assert "other data" in refused.stderr
  path.write_text(manifest)


def _check_artefacts(workdir, done, *, last):
  lines = done.stderr.splitlines()
  assert sum(line.startswith("epoch ") for line in lines) == 2
  assert not any("Traceback" in line for line in lines)
  assert "on 1 x cpu" in done.stderr
  report = json.loads((workdir / "eval/test/report.json").read_text())
  assert report["n"] == 6
  assert report["seed"] == 0
  assert 0 < report["checkpoint_step"] <= last
  assert report["parameters"]["segmentor"] > 0
  wanted = (
    "dice jaccard ssim f1 hausdorff hausdorff95 average_hausdorff assd "
    "sensitivity specificity precision recall"
  )
  assert " ".join(report["segmentation"]) == wanted
  dice = [row["dice"] for row in report["per_image"]]
  assert report["segmentation"]["dice"]["mean"] == pytest.approx(
    sum(dice) / len(dice)
  )
  splits = json.loads((workdir / "splits.json").read_text())
  assert sorted(splits) == [
    "test",
    "train_labelled",
    "train_unlabelled",
    "validation",
  ]
  assert [row["id"] for row in report["per_image"]] == splits["test"]
  assert "<html" in (workdir / "report.html").read_text()
  manifest = json.loads((workdir / "manifest.json").read_text())
  assert manifest["status"] == "done"


def _stop(started, workdir, *, signum):
  """Starts a run and sends `signum` once its first epoch is behind it."""
  with subprocess.Popen(
    **started, stderr=subprocess.PIPE, text=True
  ) as process:
    for line in process.stderr:
      if line.startswith("epoch 1"):
        break
    process.send_signal(signum)
    process.communicate(timeout=60)
  return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.3, 0.7, 1.5, 3.0, 5.0])
def test_killed_at_any_time(call, command, tmp_path, delay):
  """Kill -9 after some time, whatever the run was doing, several times."""
  flags = ("--config.train.epochs=8",)
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  assert call(whole, *flags).returncode == 0
  for repeat in range(3):
    with subprocess.Popen(
      **command(killed, *flags), stderr=subprocess.PIPE, text=True
    ) as process:
      for line in process.stderr:
        if line.startswith(f"epoch {2 * repeat + 1}/"):
          break
      time.sleep(delay)
      process.kill()
  assert call(killed, *flags).returncode == 0
  last = _last_step(whole)
  assert _digests(killed, last) == _digests(whole, last)


def test_sigterm_saves_and_says_so(command, call, tmp_path):
  run = tmp_path / "run"
  code = _stop(
    command(run, "--config.train.epochs=200", "--config.model.preset=unet"),
    run,
    signum=signal.SIGTERM,
  )
  assert code == 143
  manifest = json.loads((run / "manifest.json").read_text())
  assert manifest["status"] == "interrupted"
  step = _last_step(run)
  assert f"after step {step} of" in manifest["error"]
