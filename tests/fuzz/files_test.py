"""Damaged JSON, tables and archives are read or refused, never a traceback.

A failure names the seed of each distinct violation; `case(seed)` repeats it.
"""

import io
import json
import os
import random
import types
import zipfile

import numpy as np
import pytest
from fixtures import mutations

from apppau_jax.checks import saved_findings
from apppau_jax.datasets import (
  folder_labels,
  jsrt,
  montgomery,
  registry,
  shenzhen,
)
from apppau_jax.datasets import parts as parts_lib
from apppau_jax.datasets.prepared import FORMAT, Prepared
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.experiment import data, restoring, run_files, run_folder
from apppau_jax.inference import (
  prediction_folder,
  prediction_masks,
  prediction_table,
)
from apppau_jax.paper import comparisons, paper_units, table_rows, tables
from apppau_jax.training import writer
from configs import appau_phantom

CASES, MANY = 150, 100_000
IDS = [f"i{k}" for k in range(6)]
CONFIG = json.loads(json.dumps(appau_phantom.get_config().to_dict()))
COLUMNS = prediction_table.Columns(class_names=("normal", "tb, active"))
MODEL = {"config_sha256": "c0ffee", "step": 7}
FINDING = {
  "check": "twins", "level": "error", "what": "a is b", "ids": IDS[:2],
  "advice": "",
}  # fmt: skip
PARTS = parts_lib.Parts(
  train_labelled=(IDS[0],), train_unlabelled=(IDS[1],),
  validation=(IDS[2],), test=tuple(IDS[3:]), classes=(IDS[0],),
)  # fmt: skip
REPORT = {
  "split": "test", "n": 2, "data_sha256": "d", "notes": ["x"],
  "parameters": {"segmentor": 5},
  "segmentation": {
    name: {"mean": 0.5, "sd": 0.1, "ci95": [0.4, 0.6]}
    for name in ("dice", "ssim")
  },
  "paper_compat": {"js_pixel_accuracy": 0.9, "hausdorff_rows": 3.0},
  "classification": {
    "temperature": 1.5, "confusion": [[3, 1], [0, 4]], "auroc": None,
    "accuracy": 0.875, "balanced_accuracy": 0.875,
  },
  "per_image": [{"id": i, "dice": 0.9} for i in IDS[:2]],
}  # fmt: skip


def _config(rng, folder):
  (folder / "checkpoints" / "latest" / "5").mkdir(parents=True, exist_ok=True)
  _json(rng, folder / "config.json", CONFIG)
  run_folder.claim(folder, CONFIG)
  config = run_files.read_config(folder)
  config.data.data_dir = config.data.data_dir or "."
  data.open_dataset(config)


def _json(rng, path, tree):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(mutations.mutated_json(rng, tree))


def _manifest(rng, folder):
  sessions = [{"environment": {"jax": "1"}, "minutes": 2.5}]
  manifest = {"status": "done", "config_sha256": "c", "data_sha256": "d"}
  _json(rng, folder / "manifest.json", manifest | {"sessions": sessions})
  run_folder.identity([folder])
  run_folder.check_same_data(folder, data_sha256="d", parts=PARTS)


def _splits(rng, folder):
  (folder / "checkpoints" / "latest" / "5").mkdir(parents=True, exist_ok=True)
  run_folder.write_parts(folder, PARTS)
  _json(rng, folder / "splits.json", PARTS.as_dict())
  parts_lib.read_splits(folder / "splits.json").used_before("test")
  run_folder.check_same_data(folder, data_sha256="d", parts=PARTS)


def _labels_of_run(rng, folder):
  (folder / "checkpoints" / "latest" / "5").mkdir(parents=True, exist_ok=True)
  run_folder.write_parts(folder, PARTS)
  _json(rng, folder / "labels.json", PARTS.labels())
  run_folder.check_same_data(folder, data_sha256="d", parts=PARTS)


def _findings(rng, folder):
  content = {"findings": [FINDING, FINDING | {"level": "warning"}]}
  _json(rng, folder / run_files.FINDINGS, content)
  run_folder.data_remarks(folder)


def _report(rng, folder):
  _json(rng, folder / "eval/validation/report.json", REPORT)
  config = types.SimpleNamespace(
    eval=types.SimpleNamespace(temperature_scaling=True)
  )
  report = run_files.read_report(folder, "validation")
  for name in (*tables.LUNG_METRICS, "segmentation.dice"):
    comparisons.metric(report, name)
  paper_units.measure(report)
  restoring.temperature(config, workdir=folder)


def _saved_findings(rng, folder):
  dataset = types.SimpleNamespace(
    name="phantom", data_dir=folder, resolution=128, bits=8, content_sha256="d"
  )
  pair = {"first": "i0", "second": "i1", "alike": 0.9, "equal": False}
  _json(
    rng,
    saved_findings.path(dataset),
    {
      "format": saved_findings.FORMAT, "content_sha256": "d",
      "findings": [FINDING], "alike": [pair],
    },
  )  # fmt: skip
  saved_findings.read(dataset)
  raise mutations.UserError("it answers None instead of an error")


def _prepared(rng, folder):
  prepared = Prepared(data_dir=folder, dataset="phantom")
  names = ("features.json", "label.labels.txt", "phantom.array_record-0")
  record = {
    "format": FORMAT, "content_sha256": "d", "counts": {"images": 2},
    "files": dict.fromkeys(names, "0" * 64),
  }  # fmt: skip
  _json(rng, prepared.folder / "prepare.json", record)
  prepared.verified_record()


def _predictions(rng, folder):
  record = folder / "predictions.json"
  _json(rng, record, MODEL)
  prediction_folder.claim(folder, MODEL, columns=COLUMNS, overwrite=False)


def _prediction_rows(rng, folder):
  row = prediction_table.Row
  numbers = {"masks": ("m.png",), "fractions": (0.25,), "quality": (0.5,)}
  rows = [
    row("a.png", "ok", **numbers, probs=(0.5, 0.5)),
    row("b.png", "failed", "no"),
    row("c, d.png", "exists", **numbers, probs=(0.0, 1.0)),
  ]
  path = folder / prediction_table.NAME
  prediction_table.write(path, rows, columns=COLUMNS)
  path.write_bytes(mutations.mutated_table(rng, path.read_text()))
  (folder / "predictions.json").write_text(json.dumps(MODEL))
  found = prediction_folder.claim(
    folder, MODEL, columns=COLUMNS, overwrite=False
  )
  for row in found.values():
    assert len(row.fractions) in (0, 1)
    assert len(row.probs) in (0, 2)
    assert len(row.quality) in (0, 1)


def _prediction_masks(rng, folder):
  path = folder / "predictions.npz"
  prediction_masks.write_predictions(
    path, ids=IDS[:2], prediction=np.ones((2, 8, 8), bool)
  )
  path.write_bytes(mutations.flipped(rng, path.read_bytes()))
  prediction_masks.read_predictions(path)


def _history(rng, folder):
  line = {"kind": "train", "step": 1, "loss": 0.5}
  lines = [mutations.mutated_json(rng, line) for _ in range(3)]
  (folder / "metrics.jsonl").write_bytes(b"\n".join(lines))
  assert all("step" in h for h in writer.read_history(folder / "metrics.jsonl"))
  raise mutations.UserError("it leaves lines out instead of an error")


def _metadata(rng, folder):
  text = "id,sex,age,finding\nMCUCXR_0001_0,F,27,normal\nx,M,,old scar\n"
  (folder / "metadata.csv").write_bytes(mutations.mutated_table(rng, text))
  spec = registry.spec("montgomery")
  with spec.open(folder) as source:
    spec.read_tables(source)


def _labels(rng, folder):
  text = "id,label,patient,split\na,tb,p1,train\nb,normal,p2,test\n"
  folder_labels.read_labels(
    mutations.mutated_table(rng, text), where="labels.csv"
  )


def _texts(rng, folder):
  """Clinical texts: free text is always understood or kept as it is."""
  texts = {
    montgomery.parse_reading: "Patient's Sex: F\nPatient's Age: 027Y\nnormal",
    shenzhen.parse_reading: "male 45yrs\nbilateral PTB, 16month",
    jsrt.parse_nodules: "JPCLN001.IMG\t5\t15\t53\tmale\t1634\t692\tbenign\tl",
    jsrt.parse_normal: "JPCNN001.IMG  33 male non-nodule",
  }
  for parse, text in texts.items():
    damaged = mutations.flipped(rng, text.encode()).decode(errors="replace")
    number = rng.choice(["9" * 5000, "²", "٣", "-1", "1e9", ""])
    for digits in ("027", "45", "15", "33"):
      damaged = damaged.replace(digits, number)
    parse(damaged)
  raise mutations.UserError("nothing is refused")


def _overrides(rng, folder):
  value = mutations.mutated_json(rng, [1, {"a": 2}]).decode(errors="replace")
  table_rows.parse_overrides([f"train.epochs={value}"])
  raise mutations.UserError("what is no JSON is text")


def _zip(rng):
  buffer = io.BytesIO()
  kind = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED,
                     zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])  # fmt: skip
  with zipfile.ZipFile(buffer, "w", kind) as archive:
    for k in range(3):
      archive.writestr(f"set/CXR_png/x{k}.png", bytes(range(200)) * 3)
  return buffer.getvalue()


def _archive(rng, folder):
  content = bytearray(_zip(rng))
  for signature in (b"PK\3\4", b"PK\1\2", b"PK\5\6"):
    at = content.find(signature)
    if rng.random() < 0.5:  # in a header, where it hurts
      at = min(at + rng.randrange(4, 46), len(content) - 1)
      content[at] = rng.choice([0, 1, 14, 99, 255])
  content = bytes(content)
  if rng.random() < 0.5:
    content = mutations.flipped(rng, content)
  (folder / "set.zip").write_bytes(content)
  suffixes = rng.choice([None, (".png",)])
  with RawSource(folder / "set.zip", suffixes=suffixes) as source:
    for name in source.names():
      key = source.find(name)
      source.crc32(key)
      source.read(key)


READERS = (
  *(_config, _manifest, _splits, _labels_of_run, _findings, _report),
  *(_saved_findings, _prepared, _predictions, _prediction_rows),
  *(_prediction_masks, _history, _metadata, _labels, _texts, _overrides),
  *(_archive,),
)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
  monkeypatch.setattr(os, "fsync", lambda file: None)


def _fuzz(reader, folder, *, seeds):
  violations = mutations.Violations()
  for seed in seeds:
    with violations.case(seed):
      reader(random.Random(seed), folder)
  violations.check()


def _name(reader):
  return reader.__name__.strip("_")


@pytest.mark.parametrize("reader", READERS, ids=_name)
def test_what_is_damaged_is_read_or_refused(reader, tmp_path):
  _fuzz(reader, tmp_path, seeds=range(CASES))


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=_name)
def test_a_hundred_thousand_damaged_files(reader, tmp_path):
  _fuzz(reader, tmp_path, seeds=range(CASES, MANY // len(READERS) + CASES))
