"""Damaged models, compared reports and named columns: refused, no traceback.

See `files_test`; `case(seed)` repeats a violation.
"""

import json
import random
import struct

import jax
import numpy as np
import pytest
from fixtures import mutations

from apppau_jax.config import Config
from apppau_jax.datasets import folder_labels
from apppau_jax.experiment import model_file, restoring
from apppau_jax.paper import compare_runs
from configs import appau_phantom

CASES, MANY = 100, 5_000
IDS = [f"i{k}" for k in range(6)]
RUN = json.loads(json.dumps(appau_phantom.get_config().to_dict()))
REPORT = {
  "data_sha256": "d",
  "per_image": [
    {"id": i, "dice": 0.9 - k / 10, "hausdorff": 3, "note": "x", "area_px": 7}
    for k, i in enumerate(IDS)
  ],
}


@pytest.fixture(scope="module")
def trained():
  config = Config()
  config.model.preset, config.model.base_width = "unet", 1
  variables = jax.tree.map(
    lambda leaf: np.ones(leaf.shape, np.float32),
    restoring.shapes(config).averages,
  )
  return model_file.ModelFile(
    config=config, variables=variables, step=7, card={"checkpoint": "best"}
  )


def _model_file(rng, folder, trained):
  path = folder / "model.safetensors"
  model_file.write(path, trained)
  content = path.read_bytes()
  size = struct.unpack("<Q", content[:8])[0]
  header = json.loads(content[8 : 8 + size])
  where = rng.choice(["header", "text", "config", "number", "bytes"])
  text = header["__metadata__"]
  if where == "header":
    packed = mutations.mutated_json(rng, header)
  else:
    if where == "text":
      name = rng.choice([*text])
      text[name] = mutations.mutated_json(rng, [text[name]]).decode(
        errors="replace"
      )
    elif where == "config":
      changed = mutations.mutated_json(rng, json.loads(text["config"]))
      text["config"] = changed.decode(errors="replace")
    elif where == "number":
      name = rng.choice(["temperature", "step"])
      text[name] = rng.choice(["nan", "inf", "0", "-1", "9" * 5000, "1e400"])
    packed = json.dumps(header).encode()
  changed = struct.pack("<Q", len(packed)) + packed + content[8 + size :]
  if where == "bytes":
    changed = mutations.flipped(rng, changed)
  path.write_bytes(changed)
  found = model_file.read(path, lambda config: trained.variables)
  assert 0 < found.temperature < float("inf")
  assert found.step >= 0
  for leaf in jax.tree.leaves(found.variables):
    assert np.isfinite(leaf).all()


def _compared(rng, folder, trained):
  del trained
  for name, damaged in (("a", True), ("b", False)):
    path = folder / name / "eval/test/report.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(REPORT).encode()
    if damaged:
      content = mutations.mutated_json(rng, REPORT)
    path.write_bytes(content)
    (folder / name / "config.json").write_text(json.dumps(RUN))
  metric = rng.choice(
    ["dice", "hausdorff", "note", "area_px", "none", "id", ""]
  )
  found = compare_runs.compare([folder / "a"], [folder / "b"], metric=metric)
  assert np.isfinite([found["difference"], *found["ci95"], found["p"]]).all()
  compare_runs.summary(found)
  json.dumps(found, allow_nan=False)


def _columns(rng, folder, trained):
  del folder, trained
  names = ["id", "label", "patient", "split", "ID", "İd", "x", "", "\x1b[31m"]
  header = rng.choices(names, k=rng.randrange(1, 6))
  rows = ["a,tb,p1,train,x", "b,normal,p2,test,=1+1", "c,,p3,,"]
  columns = {
    name: rng.choice([*names, "file name", "9" * 5000])
    for name in ("id", "label", "patient")
    if rng.random() < 0.5
  }
  content = "\n".join([",".join(header), *rows]).encode()
  if rng.random() < 0.3:
    content = mutations.mutated_table(rng, content.decode())
  found = folder_labels.read_labels(
    content, where="labels.csv", columns=columns
  )
  assert all(found.rows)


READERS = (_model_file, _compared, _columns)


def _fuzz(reader, folder, trained, *, seeds):
  violations = mutations.Violations()
  for seed in seeds:
    with violations.case(seed):
      reader(random.Random(seed), folder, trained)
  violations.check()


def _name(reader):
  return reader.__name__.strip("_")


@pytest.mark.parametrize("reader", READERS, ids=_name)
def test_what_is_damaged_is_read_or_refused(reader, tmp_path, trained):
  _fuzz(reader, tmp_path, trained, seeds=range(CASES))


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=_name)
def test_many_damaged_files(reader, tmp_path, trained):
  _fuzz(reader, tmp_path, trained, seeds=range(CASES, CASES + MANY))
