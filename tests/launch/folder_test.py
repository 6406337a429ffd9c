"""A user's own set through the mains' own assembly, from raw files on."""

import csv
import json
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image

from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.experiment import (
  data,
  input_pipeline,
  networks,
  run_files,
  run_folder,
  step_checks,
)
from configs import folder

CLASSES = ("effusion", "none", "tb")


def _write(raw, *, count=14, unmasked=(3, 8, 13), table=True, dicom=None):
  """Two films a patient; those of `unmasked` have no mask."""
  rng = np.random.default_rng(0)
  (raw / "images").mkdir(parents=True)
  (raw / "masks").mkdir()
  rows = [["id", "label", "patient"]]
  for i in range(count):
    name = f"film{i:02d}"
    pixels = rng.integers(0, 90, (40, 44)) + 160
    pixels[8:32, 6:16] -= 120
    pixels[8:32, 26:36] -= 120
    if dicom is not None and i % 2:
      (raw / f"images/{name}.dcm").write_bytes(dicom(pixels))
    else:
      Image.fromarray(pixels.astype(np.uint8)).save(raw / f"images/{name}.png")
    if i not in unmasked:
      mask = (pixels < 130).astype(np.uint8) * 255
      Image.fromarray(mask).save(raw / f"masks/{name}_mask.png")
    label = "" if i == 0 else CLASSES[i // 2 % 3]
    rows.append([name, label, f"p{i // 2}"])
  if table:
    with (raw / "labels.csv").open("w", newline="") as file:
      csv.writer(file).writerows(rows)
  return raw


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  root = tmp_path_factory.mktemp("own")
  for name, table in (("clinic", True), ("plain", False)):
    raw = _write(root / f"raw-{name}", table=table)
    prepare(f"folder:{name}", raw_dir=raw, data_dir=root)
  return root


def _config(data_dir, arg):
  config = folder.get_config(f"quick,{arg}")
  config.data.data_dir = str(data_dir)
  config.model.base_width = config.discriminator.base_width = 1
  config.train.batch_size, config.train.unlabelled_in_batch = 4, 2
  return config


def test_both_players_from_a_folder_and_from_the_run_alone(data_dir, tmp_path):
  config = _config(data_dir, "name=clinic,players=two")
  dataset = data.open_dataset(config)
  config = data.settled(config, dataset)
  assert tuple(config.data.class_names) == CLASSES
  assert config.data.split == "paper"
  split = data.parts(config, dataset)
  patients = dataset.patients
  train = {*split.train_labelled, *split.train_unlabelled}
  judged = {patients[i] for i in (*split.validation, *split.test)}
  assert not judged & {patients[i] for i in train}
  unmasked = {e.id for e in dataset.entries if not e.has_mask}
  expected = {i for i in unmasked if patients[i] not in judged}
  assert set(split.train_unlabelled) == expected
  assert 0 < len(expected) < len(unmasked)
  alone = {*split.validation_classes, *split.test_classes}
  assert alone == unmasked - expected
  assert set(split.classes) == train - {"film00"}  # whose class is unknown

  training = data.load_training(config, dataset, parts=split)
  assert training.has_label.sum() == len(split.classes)
  assert (training.label >= 0).tolist() == training.has_label.tolist()
  rows = input_pipeline.minibatches(config, split)(0)
  batch = input_pipeline.to_batch(training).take(rows[0]).check()
  assert batch.has_mask.tolist() == [True, True, False, False]
  step_checks.check_players(config, unlabelled=len(split.train_unlabelled))

  run_folder.claim(tmp_path, config.to_dict())
  again = run_files.read_config(tmp_path)
  again.data.data_dir = "nowhere"
  assert networks.class_names(again) == CLASSES
  state = jax.eval_shape(lambda: networks.init(again))
  players = state.players
  shapes = [x.shape for x in jax.tree.leaves(players["discriminator"].params)]
  assert (len(CLASSES) + 1,) in shapes  # the last bias: classes and fake
  run_folder.claim(tmp_path, config.to_dict())  # a restart is the same run


def test_no_classes_are_enough_to_segment(data_dir, tmp_path):
  config = _config(data_dir, "name=plain")
  config.train.unlabelled_in_batch = 0
  dataset = data.open_dataset(config)
  config = data.settled(config, dataset)
  assert tuple(config.data.class_names) == ()
  chosen = data.parts(config, dataset)
  assert chosen.classes == ()
  training = data.load_training(config, dataset, parts=chosen)
  assert not training.has_label.any()
  step_checks.check_players(config, unlabelled=0)
  config.discriminator.enabled = True
  says = r"folder:plain has 0 classes: .*labels\.csv"
  with pytest.raises(ConfigError, match=says):
    step_checks.check_players(config, unlabelled=0)


def test_a_prepared_set_states_the_images_and_classes_of_a_plan(data_dir):
  config = _config(data_dir, "name=clinic,players=two")
  found, images = data.planned(config)
  chosen = data.parts(found, data.open_dataset(config))
  assert tuple(found.data.class_names) == CLASSES
  assert images == len({*chosen.train_labelled, *chosen.train_unlabelled}) > 0
  config.data.data_dir = "nowhere"
  with pytest.raises(DataError, match="nowhere"):
    data.planned(config)
  config.data.dataset, config.data.split = "montgomery", "paper"
  assert data.planned(config)[1] == 93


def test_other_classes_than_the_runs_are_refused(data_dir):
  config = _config(data_dir, "name=clinic,players=two")
  config.data.class_names = ("none", "tb")
  with pytest.raises(DataError, match=r"none, tb.*effusion, none"):
    data.open_dataset(config)
  config.discriminator.enabled = False
  assert data.open_dataset(config).class_names == CLASSES


def test_auto_is_the_given_split_where_there_is_one():
  for given, expected in ((True, "given"), (False, "paper")):
    dataset = types.SimpleNamespace(
      name="folder", class_names=(), has_given_split=given
    )
    config = data.settled(folder.get_config("players=two"), dataset)
    assert config.data.split == expected


def _main(name, *flags):
  done = subprocess.run(
    [sys.executable, "-m", f"launch.{name}", *flags],
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.mark.slow
def test_from_raw_dicom_to_predictions(tmp_path):
  """Every main, as docs/data.md has them, on half DICOM and half PNG."""
  pydicom = pytest.importorskip("pydicom")
  raw = _write(tmp_path / "raw", dicom=lambda p: _dicom(pydicom, p))
  _main(
    "prepare_data", "--dataset=folder:clinic", f"--raw_dir={raw}",
    f"--data_dir={tmp_path}/data",
  )  # fmt: skip
  for players in ("one", "two"):
    work = tmp_path / players
    _main(
      "train", f"--workdir={work}",
      f"--config=configs/folder.py:quick,name=clinic,players={players}",
      f"--config.data.data_dir={tmp_path}/data",
      "--config.train.batch_size=4", "--config.model.base_width=1",
      "--config.train.unlabelled_in_batch=" + "02"[players == "two"],
      "--config.model.preset=unet", "--config.discriminator.base_width=1",
    )  # fmt: skip
    _main("evaluate", f"--workdir={work}", "--split=test")
    report = json.loads((work / "eval/test/report.json").read_text())
    assert report["split_name"] == "paper"
    # Films without a mask whose patients have none either test the diagnosis.
    alone = [x["id"] for x in report.get("class_only", [])]
    split = json.loads((work / "splits.json").read_text())
    assert alone == split.get("test_classes", [])
    if players == "two":
      page = (work / "eval/test/report.html").read_text()
      assert alone
      assert all(name in page for name in alone)
      known = [x for x in report["per_image"] if "label" in x]
      assert report["classification"]["n"] == len(known) + len(alone)
    (tmp_path / "data").rename(tmp_path / "away")  # a run needs no data set
    _main(
      "predict", f"--workdir={work}", f"--input={raw}/images",
      f"--output={tmp_path}/masks-{players}",
    )  # fmt: skip
    (tmp_path / "away").rename(tmp_path / "data")
    masks = tmp_path / f"masks-{players}"
    with (masks / "predictions.csv").open() as table:
      rows = [*csv.DictReader(table)]
    assert len(rows) == 14
    # A network that learnt little may get a remark, but every film has a mask.
    assert {row["status"] for row in rows} <= {"ok", "remark"}
    assert all((masks / row["mask"]).is_file() for row in rows)
    assert ("probability_effusion" in rows[0]) == (players == "two")


def _dicom(pydicom, pixels):
  import io

  header = pydicom.Dataset()
  header.file_meta = pydicom.dataset.FileMetaDataset()
  header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
  header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
  header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
  header.Rows, header.Columns = pixels.shape
  header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME1"
  header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
  header.PixelRepresentation = 0
  header.WindowCenter, header.WindowWidth = 2048, 4096
  header.PixelData = (4095 - 16 * pixels).astype("<u2").tobytes()
  file = io.BytesIO()
  pydicom.dcmwrite(file, header, enforce_file_format=True)
  return file.getvalue()
