import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from apppau_jax.checks import raw_data
from apppau_jax.datasets import builder, registry
from apppau_jax.errors import DataError
from apppau_jax.imaging import resample

IDS = ("MCUCXR_0001_0", "MCUCXR_0002_0", "MCUCXR_0113_1")


def _build(raw, data_dir, *, config="128", **options):
  made = builder.builder_class("montgomery")(
    data_dir=data_dir, config=config, allow_missing=True, **options
  )
  made.download_and_prepare(
    download_dir=data_dir / "downloads",
    download_config=tfds.download.DownloadConfig(manual_dir=raw),
  )
  return made


@pytest.mark.parametrize("side", [128, 256, 512])
def test_a_builder_works_by_itself_as_a_tfds_builder(raw_sets, tmp_path, side):
  raw = raw_sets.montgomery(tmp_path / "raw", IDS)
  made = _build(raw, tmp_path, config=str(side))
  assert made.verdicts == []
  records = {r["id"].decode(): r for r in made.as_data_source(split="full")}
  assert sorted(records) == list(IDS)
  for name in IDS:
    record, raw_image = records[name], raw_sets.image(name)
    np.testing.assert_array_equal(
      record["image"][..., 0], resample.resize_area(raw_image, (side, side))
    )
    assert set(np.unique(record["mask"])) == {0, 1}
    assert (record["height"], record["width"]) == raw_image.shape
    assert record["label"] == int(name[-1])
    assert record["has_mask"]
  assert made.info.features["label"].names == ["normal", "tb"]


def test_readings_and_the_table_that_stands_in_for_them(raw_sets, tmp_path):
  raw = raw_sets.montgomery(tmp_path / "raw", IDS)
  readings = raw / "MontgomerySet/ClinicalReadings"
  readings.mkdir()
  text = "Patient's Sex: F \nPatient's Age: 027Y\nscars\n"
  (readings / f"{IDS[0]}.txt").write_text(text)
  (readings / f"{IDS[2]}.txt").write_text("new wording")
  (raw / "metadata.csv").write_text(
    f'id,sex,age,finding\n{IDS[0]},Male,99,other\n{IDS[1]},Male,45,"a,  b"\n'
  )
  made = _build(raw, tmp_path)
  read = {
    r["id"].decode(): tuple(r[k].decode() for k in ("sex", "age", "finding"))
    for r in made.as_data_source(split="full")
  }
  assert read == {
    IDS[0]: ("F", "27", "scars"),
    IDS[1]: ("M", "45", "a, b"),
    IDS[2]: ("", "", "new wording"),
  }
  assert [(v.id, v.level) for v in made.verdicts] == [(IDS[2], "warning")]
  assert "not understood: 'new wording'" in made.verdicts[0].message


def test_a_reading_in_another_encoding_is_left_out_with_a_remark(
  raw_sets, tmp_path
):
  raw = raw_sets.montgomery(tmp_path / "raw", IDS)
  readings = raw / "MontgomerySet/ClinicalReadings"
  readings.mkdir()
  text = "Patient's Sex: F\nPatient's Age: 027Y\nunauffällig\n"
  (readings / f"{IDS[0]}.txt").write_bytes(text.encode("cp1252"))
  (readings / f"{IDS[1]}.txt").write_bytes(text.encode("utf-16"))
  made = _build(raw, tmp_path)
  read = {
    r["id"].decode(): tuple(r[k].decode() for k in ("sex", "age", "finding"))
    for r in made.as_data_source(split="full")
  }
  assert read[IDS[0]] == ("", "", "")
  assert read[IDS[1]] == ("F", "27", "unauffällig")
  (remark,) = made.verdicts
  assert remark.id == IDS[0]
  assert "line 3 has the byte 0xe4" in remark.message


def test_number_of_threads_does_not_matter(raw_sets, tmp_path):
  ids = registry.DATASETS["montgomery"].ids[:9]
  raw = raw_sets.montgomery(tmp_path / "raw", ids)
  (raw / "ClinicalReadings").mkdir()
  for name in ids:  # remarks, whose order is to be seen
    (raw / f"ClinicalReadings/{name}.txt").write_text("new wording")
  contents, calls = [], []
  for workers in (1, 4):
    made = _build(
      raw, tmp_path / str(workers), workers=workers,
      progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    contents.append(builder.content_sha256(made))
    assert len(made.as_data_source(split="full")) == 9
    assert [verdict.id for verdict in made.verdicts] == list(ids)
  assert contents[0] == contents[1]
  assert calls == [(i, 9) for i in range(1, 10)] * 2


def test_equal_reasons_are_said_once(raw_sets, tmp_path):
  ids = registry.DATASETS["montgomery"].ids[:6]
  raw = raw_sets.montgomery(tmp_path / "raw", ids)
  for name in ids[:4]:
    mask = raw / f"MontgomerySet/ManualMask/leftMask/{name}.png"
    raw_sets.png(mask, np.zeros((40, 47), bool))
  truncated = raw / f"MontgomerySet/CXR_png/{ids[5]}.png"
  truncated.write_bytes(truncated.read_bytes()[:-30])
  with pytest.raises(DataError, match="5 of 6 images") as caught:
    _build(raw, tmp_path / "data")
  message = str(caught.value)
  assert message.count("is 47x40") == 1
  same = "; ".join(ids[1:4])
  assert f"3 more for the same reason: {same})" in message
  assert f"{ids[5]}.png" in message


def test_every_bad_file_is_named_and_nothing_is_built(raw_sets, tmp_path):
  ids = registry.DATASETS["montgomery"].ids[:6]
  raw = raw_sets.montgomery(tmp_path / "raw", ids)
  images, masks = (
    raw / "MontgomerySet/CXR_png",
    raw / "MontgomerySet/ManualMask",
  )
  truncated = images / f"{ids[0]}.png"
  truncated.write_bytes(truncated.read_bytes()[:-30])
  raw_sets.png(masks / f"leftMask/{ids[1]}.png", np.zeros((40, 47), bool))
  grades = np.repeat(np.array([[0, 127, 255]], np.uint8), 3, axis=0)
  raw_sets.png(masks / f"rightMask/{ids[2]}.png", grades)
  for side in ("leftMask", "rightMask"):
    inverted = ~np.logical_or(*raw_sets.lungs(ids[3]))
    raw_sets.png(masks / side / f"{ids[3]}.png", inverted)
  coloured = np.dstack([raw_sets.image(ids[4])] * 2 + [raw_sets.image("b")])
  raw_sets.png(images / f"{ids[4]}.png", coloured, mode="RGB")
  with pytest.raises(DataError) as caught:
    _build(raw, tmp_path / "data")
  message = str(caught.value)
  assert message.startswith("5 of 6 images")
  for pattern in (
    rf"CXR_png/{ids[0]}\.png",
    rf"leftMask/{ids[1]}\.png is 47x40 .* 48x40",
    rf"rightMask/{ids[2]}\.png .* 3 different values",
    rf"mask of {ids[3]} ",
    rf"CXR_png/{ids[4]}\.png",
  ):
    assert re.search(pattern, message), pattern
  assert not list(tmp_path.glob("data/montgomery/128/**/*.array_record*"))


def test_constant_image_is_remarked_on(raw_sets, tmp_path):
  raw = raw_sets.montgomery(tmp_path / "raw", IDS)
  path = raw / f"MontgomerySet/CXR_png/{IDS[1]}.png"
  Image.new("L", (48, 40), 7).save(path)
  made = _build(raw, tmp_path)
  (verdict,) = made.verdicts
  assert (verdict.id, verdict.level) == (IDS[1], "warning")
  assert "constant (7" in verdict.message


def test_empty_folder_names_what_was_expected(tmp_path):
  (tmp_path / "raw").mkdir()
  with pytest.raises(DataError, match=r"expected MontgomerySet/CXR_png/MCU"):
    _build(tmp_path, tmp_path / "data", raw_dir=tmp_path / "raw")


def test_configs_are_three_resolutions_at_two_depths():
  configs = builder.builder_class("montgomery").builder_configs
  assert {n: (c.resolution, c.bits) for n, c in configs.items()} == {
    "128": (128, 8), "256": (256, 8), "512": (512, 8),
    "128-16bit": (128, 16), "256-16bit": (256, 16), "512-16bit": (512, 16),
  }  # fmt: skip


def test_no_tensorflow(raw_sets, tmp_path):
  raw = raw_sets.montgomery(tmp_path / "raw", IDS[:2])
  code = (
    "import sys\n"
    "from apppau_jax.datasets import dataset, prepare\n"
    "raw, data = sys.argv[1:]\n"
    "prepare.prepare('montgomery', raw_dir=raw, data_dir=data,\n"
    "                allow_missing=True)\n"
    "d = dataset.Dataset('montgomery', data_dir=data)\n"
    "assert len(d.open(d.ids).ids) == 2\n"
    "print([m for m in ('tensorflow', 'jax', 'torch') if m in sys.modules])\n"
  )
  done = subprocess.run(
    [sys.executable, "-W", "error", "-c", code, raw, tmp_path / "data"],
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


@pytest.mark.parametrize(
  ("content", "says"),
  [
    ("name,age\nx,1\n", "no column 'id'"),
    ("id,finding\nx," + "y" * 140_000, "line 2"),
    ("id,finding\nx,\0\n", "NUL"),
  ],
)
def test_metadata_that_are_no_such_table_are_named(
  raw_sets, tmp_path, content, says
):
  raw = raw_sets.montgomery(tmp_path / "raw", ["MCUCXR_0001_0"])
  (raw / "metadata.csv").write_text(content)
  with pytest.raises(DataError, match=rf"metadata\.csv.*{says}"):
    _build(raw, tmp_path / "data")
  images, found = raw_data.read("montgomery", raw)
  assert len(images) == 1
  assert any("metadata.csv" in f.what for f in found if f.level == "error")


def test_metadata_may_end_their_lines_in_cr(raw_sets, tmp_path):
  (tmp_path / "metadata.csv").write_bytes(b"id,age\rx,27\ry,30\r")
  spec = registry.spec("montgomery")
  with spec.open(tmp_path) as source:
    readings = spec.read_tables(source)
  assert {i: r.age for i, r in readings.items()} == {"x": "27", "y": "30"}
