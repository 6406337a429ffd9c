"""A set of the user's own: files found, tables read, nothing guessed."""

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from apppau_jax.datasets import folder_labels, raw_index, splits
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.folder import FOLDER
from apppau_jax.datasets.prepare import prepare
from apppau_jax.datasets.prepared import Prepared
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import resample


@pytest.fixture
def write(raw_sets, tmp_path):
  """Writes images/ and masks/ of some ids, and labels.csv."""

  def call(*ids, table=None, masks=None, root=tmp_path / "raw"):
    for name in ids:
      raw_sets.png(root / f"images/{name}.png", raw_sets.image(name))
    for name in ids if masks is None else masks:
      mask = np.logical_or(*raw_sets.lungs(name.removesuffix("_mask")))
      raw_sets.png(root / f"masks/{name}.png", mask)
    if table is not None:
      (root / "labels.csv").write_text(table, encoding="utf-8")
    return root

  return call


def _index(root):
  with FOLDER.open(root) as source:
    return raw_index.index(source, FOLDER.of(source))


def _prepare(raw, data_dir, **options):
  return prepare("folder:clinic", raw_dir=raw, data_dir=data_dir, **options)


def test_every_format_depth_and_size_is_one_interface(
  write, raw_sets, tmp_path
):
  table = (
    "Label;id;Patient;age\n"
    "TB;deep film;p1;33\n"
    "normal;grey;p2;44\n"
    ";gif;p1;\n"
    "no  finding;jpeg;;\n"
  )
  raw = write(
    "grey", "bmp", "tiff", table=table, masks=["grey", "bmp_mask", "deep film"]
  )
  images = raw / "images"
  deep = raw_sets.image("deep film").astype(np.uint16) * 8 + 100
  deep[0, :2] = 100, 100 + 255 * 8
  Image.fromarray(deep).save(images / "deep film.PNG")
  for name in ("bmp", "tiff", "gif"):
    pixels = raw_sets.image(name)
    (images / f"{name}.png").unlink(missing_ok=True)
    Image.fromarray(pixels).save(images / f"{name}.{name}")
  other = np.tile(np.arange(60, dtype=np.uint8)[:, None] * 4, (1, 90))
  Image.fromarray(other).convert("RGB").save(images / "jpeg.jpeg", quality=95)
  mask = np.logical_or(*raw_sets.lungs("deep film")).astype(np.uint8)
  Image.fromarray(mask).save(raw / "masks/deep film.png")  # 0 and 1

  summary = _prepare(raw, tmp_path)
  assert summary["folder"] == str(tmp_path / "folder/clinic/128/1.0.0")
  assert summary["counts"] == {
    "images": 6, "masks": 3, "TB": 1, "no finding": 1, "normal": 1,
    "no class": 3, "unlabelled": 3, "missing": 0,
  }  # fmt: skip
  remarks = {v["id"]: v["message"] for v in summary["verdicts"]}
  assert "age" in remarks.pop("labels.csv")
  # The pixels are noise, so that lungs are as bright as the rest.
  assert remarks.keys() == {"bmp", "deep film", "grey"}
  assert all("lungs are not darker" in text for text in remarks.values())

  opened = Dataset("folder:clinic", data_dir=tmp_path)
  assert opened.class_names == ("no finding", "normal", "TB")
  rows = [(e.id, e.label, e.patient, e.has_mask) for e in opened.entries]
  assert rows == [
    ("bmp", -1, "bmp", True),
    ("deep film", 2, "p1", True),
    ("gif", -1, "p1", False),
    ("grey", 1, "p2", True),
    ("jpeg", 0, "jpeg", False),
    ("tiff", -1, "tiff", False),
  ]
  assert {e.source for e in opened.entries} == {"folder:clinic"}
  sizes = {e.id: (e.height, e.width) for e in opened.entries}
  assert sizes.pop("jpeg") == (60, 90)
  assert set(sizes.values()) == {(40, 48)}

  ids = [row[0] for row in rows]
  loaded = opened.open(ids)
  assert loaded.has_label.tolist() == [False, True, False, True, True, False]
  assert loaded.label.tolist() == [-1, 2, -1, 1, 0, -1]
  stretched = raw_sets.image("deep film").astype(float)
  stretched[0, :2] = 0, 255  # 8 levels to a grey level
  for i, name in enumerate(ids):
    pixels = stretched if name == "deep film" else raw_sets.image(name)
    pixels = other if name == "jpeg" else pixels.astype(np.uint8)
    expected = resample.resize_area(pixels, (128, 128)).astype(int)
    tolerance = 2 if name == "jpeg" else 0
    assert np.abs(loaded.image[i, ..., 0] - expected).max() <= tolerance, name
    if loaded.has_mask[i]:
      lungs = np.logical_or(*raw_sets.lungs(name))
      small = resample.resize_mask(lungs, (128, 128))
      np.testing.assert_array_equal(loaded.mask[i, ..., 0], small)


def test_two_sets_side_by_side_and_together(write, tmp_path):
  for name, label, ids in (("a", "tb", "xy"), ("b", "copd", "uv")):
    table = f"id,label\n{ids[0]},{label}\n{ids[1]},\n"
    raw = write(*ids, table=table, root=tmp_path / f"raw-{name}")
    prepare(f"folder:{name}", raw_dir=raw, data_dir=tmp_path)
  together = Dataset("folder:b+folder:a", data_dir=tmp_path)
  assert together.class_names == ("tb", "copd")
  assert [(e.id, e.label, e.source) for e in together.entries] == [
    ("u", 1, "folder:b"),
    ("v", -1, "folder:b"),
    ("x", 0, "folder:a"),
    ("y", -1, "folder:a"),
  ]
  with pytest.raises(DataError, match=r"--dataset=folder:c --raw_dir"):
    Dataset("folder:c", data_dir=tmp_path)
  plain = Prepared(data_dir=tmp_path, dataset="folder")
  assert plain.folder == tmp_path / "folder/128/1.0.0"


def test_without_a_table_there_is_no_class(write, raw_sets, tmp_path):
  raw = write("x", "y", masks=["x"])
  archive = raw_sets.zipped(raw, tmp_path / "clinic.zip")
  counts = _prepare(archive, tmp_path)["counts"]
  assert counts == {
    "images": 2, "masks": 1, "no class": 2, "unlabelled": 1, "missing": 0,
  }  # fmt: skip
  opened = Dataset("folder:clinic", data_dir=tmp_path)
  assert opened.class_names == ()
  assert not opened.open(["x", "y"]).has_label.any()


def test_rows_and_masks_without_an_image_are_listed(write, tmp_path):
  raw = write("x", table="id,label\nx,a\nlost,b\n", masks=["x", "stray_mask"])
  with pytest.raises(DataError, match="2 files that belong") as caught:
    _prepare(raw, tmp_path)
  assert "images/lost.* (named in labels.csv)" in str(caught.value)
  assert "images/stray.* (named in stray_mask.png)" in str(caught.value)
  counts = _prepare(raw, tmp_path, allow_missing=True)["counts"]
  assert (counts["images"], counts["missing"]) == (1, 2)


def test_masks_go_by_their_own_name_first(write):
  raw = write("a", "a_mask", "b", masks=["a_mask", "b_mask"])
  found = {e.id: e.masks for e in _index(raw).examples}
  assert found == {
    "a": (),
    "a_mask": ("::masks/a_mask.png",),
    "b": ("::masks/b_mask.png",),
  }
  assert _index(raw).unlabelled == ("a",)


def test_zips_called_images_and_masks(write, raw_sets, tmp_path):
  raw = write("x", "y")
  (tmp_path / "zips").mkdir()
  for name in ("images", "masks"):
    raw_sets.zipped(raw / name, tmp_path / f"zips/{name}.zip")
  found = _index(tmp_path / "zips")
  assert [(e.id, len(e.masks)) for e in found.examples] == [("x", 1), ("y", 1)]


@pytest.mark.parametrize(
  ("file", "says"),
  [
    ("rejected/images/bad.png", r"2 folders called images/: images; rejected"),
    ("old/masks/x.png", r"2 folders called masks/: masks; old/masks"),
  ],
)
def test_two_folders_of_one_name_are_not_mixed(write, file, says):
  """Films somebody sorted out would join the training set."""
  raw = write("x")
  (raw / file).parent.mkdir(parents=True)
  (raw / file).write_bytes((raw / "images/x.png").read_bytes())
  with pytest.raises(DataError, match=says):
    _index(raw)


@pytest.mark.parametrize(
  ("file", "says"),
  [
    ("images/below/x.png", "images/below/x.png"),
    ("images/x.JPG", "x.JPG, x.png"),
    ("masks/x_mask.gif", "x.png, x_mask.gif"),
    ("images/odd\udce9.png", "images/odd"),
  ],
)
def test_what_is_not_one_picture_for_an_id_is_refused(write, file, says):
  raw = write("x")
  path = raw / file
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(b"")
  with pytest.raises(DataError, match="must hold only images") as caught:
    _index(raw)
  assert says in str(caught.value)


def test_what_file_managers_leave_is_ignored(write):
  raw = write("x")
  for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
    (raw / "images" / name).write_bytes(b"junk")
  os.mkfifo(raw / "images/pipe.png")
  (raw / "images/gone.png").symlink_to(raw / "nowhere")
  assert [e.id for e in _index(raw).examples] == ["x"]


def test_names_of_any_kind(write, tmp_path):
  composed = unicodedata.normalize("NFC", "Größe")
  names = ["-x", "<script>", "a, b", "1.2.840.5", "y" * 200]
  raw = write(
    *names,
    unicodedata.normalize("NFD", composed),
    table=f'id,label\n"a, b",tb\n{composed},ü\n1.2.840.5,tb\n',
  )
  (raw / "images/1.2.840.5.png").rename(raw / "images/1.2.840.5")
  assert _prepare(raw, tmp_path)["counts"]["tb"] == 2
  opened = Dataset("folder:clinic", data_dir=tmp_path)
  assert {*opened.ids} == {*names, composed}
  assert opened.labels[composed] == 1


@pytest.mark.parametrize(
  ("table", "says"),
  [
    ("", "must begin with a line"),
    ("name,label\nx,a\n", "'name', 'label'"),
    ("id\nx\n", "must begin with a line"),
    ("id,label,patient,patient\nx,a,b,c\n", "must begin with a line"),
    ("id,label\nx,a\ny,b\nx,c\n", "1 lines .* line 4: x a second time"),
    ("id,label\nx,a,b\n", "line 2: 3 cells, where the header has 2"),
    ("id,label\n,a\n", "line 2: no id"),
    ("id,label,split\nx,a,val\n", "line 2: split 'val', .* validation, test"),
    ("id,label\nx,masks\n", "cannot be called 'masks'"),
    ("id,label\nx,TB\ny,tb\nz,flu\n", "several ways: TB and tb. They"),
    ("id,label\nx,\xe9\n".encode("latin-1"), "CSV UTF-8"),
    ('id,label\nx,"' + "a" * 200_000 + '"\n', "CSV UTF-8"),
  ],
)
def test_tables_that_cannot_be_used(table, says):
  content = table if isinstance(table, bytes) else table.encode()
  with pytest.raises(DataError, match=says):
    folder_labels.read_labels(content, where="labels.csv")


def test_a_table_as_spreadsheets_write_it():
  text = '\r\n Split \tID\tlabel\r\nTrain\t x \t"COPD,\r\nsevere"\r\n\t y\t\r\n'
  found = folder_labels.read_labels(b"\xef\xbb\xbf" + text.encode(), where="f")
  row = folder_labels.Row
  assert found.rows == {"x": row("COPD, severe", "", "train"), "y": row()}
  assert found.class_names == ("COPD, severe",)
  assert found.unread == ()


# Splits.


def _split(name, ids, **options):
  return splits.make_split(
    name,
    **{"dataset": "folder:clinic", "ids": ids, "labels": {}, "groups": {},
       "seed": 0, **options},
  )  # fmt: skip


def test_a_given_split_is_used_as_it_is():
  given = {"a": "test", "b": "train", "c": "validation", "d": "train"}
  split = _split("given", list("abcd"), given={**given, "unmasked": "train"})
  assert split.train_labelled == ("b", "d")
  assert (split.validation, split.test) == (("c",), ("a",))
  tenth = _split("given", list("abcd"), given=given, label_fraction=1)
  assert len(tenth.train_labelled) == len(tenth.train_unlabelled) == 1
  with pytest.raises(DataError, match="Patient 'p' is in two parts"):
    _split("given", list("abcd"), given=given, groups={"a": "p", "b": "p"})
  with pytest.raises(ConfigError, match=r"folder:clinic gives none: only a"):
    _split("given", list("abcd"))


def test_a_split_of_some_images_only_is_refused(write):
  table = "id,label,split\nx,a,train\ny,b,\n"
  raw = write("x", "y", "z", "u", table=table, masks=["x", "y", "z"])
  with pytest.raises(DataError, match=r"2 others .* y; z\."):
    _index(raw)
  for name in "yz":
    (raw / f"masks/{name}.png").unlink()
  assert _index(raw).unlabelled == ("u", "y", "z")


def test_sets_without_lists_are_divided_each_by_itself():
  own = {"folder:a": [f"a{n}" for n in range(20)],
         "folder:b": [f"b{n}" for n in range(20)]}  # fmt: skip
  sources = {i: name for name, ids in own.items() for i in ids}
  both = _split(
    "paper", list(sources), dataset="folder:a+folder:b", sources=sources
  )
  for name, ids in own.items():
    alone = _split("paper", ids, dataset=name)
    assert alone.test == tuple(i for i in both.test if i in ids)
    assert alone.validation == tuple(i for i in both.validation if i in ids)
