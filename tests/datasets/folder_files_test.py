"""Names of images, masks, tables and folders as people have them."""

import io
import re

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import dataset, uid

from apppau_jax.datasets import raw_index
from apppau_jax.datasets.folder import FOLDER
from apppau_jax.errors import DataError

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)


def _png() -> bytes:
  content = io.BytesIO()
  Image.fromarray(PIXELS).save(content, "PNG")
  return content.getvalue()


def _dicom() -> bytes:
  made = dataset.Dataset()
  made.file_meta = dataset.FileMetaDataset()
  made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
  made.SOPClassUID = uid.ComputedRadiographyImageStorage
  made.SOPInstanceUID = "1.2.3"
  content = io.BytesIO()
  pydicom.dcmwrite(content, made, enforce_file_format=True)
  return content.getvalue()


@pytest.fixture
def write(tmp_path):
  """Writes small files below a folder: pictures, or given contents."""

  def call(*paths, table=None):
    for path in paths:
      path, _, kind = path.partition("=")
      file = tmp_path / path
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_bytes({"": _png(), "dicom": _dicom()}.get(kind, b"text"))
    if table is not None:
      (tmp_path / "labels.csv").write_text(table, encoding="utf-8")
    return tmp_path

  return call


def _read(root):
  with FOLDER.open(root) as source:
    spec = FOLDER.of(source)
    return spec, raw_index.index(source, spec)


def _masks(root):
  found = _read(root)[1]
  assert not found.missing
  return {e.id: [k.rpartition("/")[2] for k in e.masks] for e in found.examples}


def _notes(root):
  return " | ".join(f"{where} {note}" for where, note in _read(root)[1].notes)


@pytest.mark.parametrize(
  "mask",
  [
    *("masks/f 1.png", "masks/f 1_mask.png", "masks/f 1-mask.PNG"),
    *("masks/f 1_masks.png", "masks/f 1_seg.tif", "masks/f 1_Mask.PNG"),
    *("masks/f 1_lungmask.png", "masks/f 1_lung_mask.png", "masks/F 1.png"),
    *("masks/mask_f 1.png", "masks/f 1.png.png", "masks/f 1.dcm_mask.png"),
    *("masks/f 1_segmentation.png", "masks/f 1.label.png"),
    "masks/f 1 lungs.png",
    *("Masks/f 1.png", "mask/f 1.png", "labels/f 1.png", "mask/mask/f 1.png"),
    *("lung_masks/f 1.png", "segmentations/a/f 1.png", "data/masks/f 1.png"),
  ],
)  # fmt: skip
def test_common_names_of_masks(write, mask):
  root = write("images/f 1.png", "images/other.png", mask)
  assert _masks(root) == {"f 1": [mask.rpartition("/")[2]], "other": []}


def test_the_name_most_alike_wins(write):
  root = write(
    *("images/a.png", "images/a_lung.png", "images/mask_b.png"),
    *("masks/a_mask.png", "masks/a_lung_mask.png", "masks/mask_b.png"),
  )
  assert _masks(root) == {
    "a": ["a_mask.png"],
    "a_lung": ["a_lung_mask.png"],
    "mask_b": ["mask_b.png"],
  }


@pytest.mark.parametrize(
  ("paths", "says"),
  [
    (["masks/film_a.png"], r"None of the 1 masks .* film_a.* NAME_mask\.png"),
    (
      ["images/Ab.png", "images/aB.png", "masks/ab_mask.png"],
      r"1 masks .* fit several.*ab_mask\.png \(Ab or aB\)",
    ),
    (["masks/x.png", "masks/x_seg.png"], r"x\.png, x_seg\.png"),
  ],
)
def test_masks_that_fit_none_or_several(write, paths, says):
  root = write("images/x.png", *paths)
  with pytest.raises(DataError, match=says):
    _read(root)


@pytest.mark.parametrize(
  ("left", "right"),
  [
    ("left/f 1.png", "right/f 1.png"),
    ("left_mask/f 1.png", "right_mask/f 1.png"),
    ("leftMask/f 1.png", "rightMask/f 1.png"),
    ("masks/left/f 1.png", "masks/Right/f 1.png"),
    ("masks/left lung/f 1.gif", "masks/right lung/f 1.png"),
    ("masks/f 1_left.png", "masks/f 1_right.png"),
    ("masks/f 1_left_lung_mask.png", "masks/f 1-right.png"),
    ("masks/left_f 1.png", "masks/right-lung-f 1.png"),
    ("left/f 1_left.png", "right/f 1_right.png"),
    ("Manual/leftMask/f 1.png", "Manual/rightMask/f 1.png"),
  ],
)
def test_masks_of_the_left_and_of_the_right_lung(write, left, right):
  root = write("images/f 1.png", "images/other.png", left, right)
  spec, found = _read(root)
  assert not found.missing
  described = [[k.removeprefix("::") for k in e.masks] for e in found.examples]
  assert described == [[left, right], []]
  assert "left and of the right lung are joined, of 1 images" in _notes(root)
  assert spec.without_mask == {"other"}


def test_a_mask_of_one_lung_alone_is_no_mask(write):
  root = write("images/x.png", "left/x.png", "right/y.png", "images/y.png")
  found = _read(root)[1]
  assert [e.masks for e in found.examples] == [(), ()]
  assert found.missing == (
    "masks/x (the right lung)",
    "masks/y (the left lung)",
  )


@pytest.mark.parametrize(
  ("masks", "says"),
  [
    (("x.png", "x_left.png"), r"x\.png, x_left\.png"),
    (("x_left.png", "left_x.png", "x_right.png"), r"left_x\.png, x_left\.png"),
  ],
)
def test_a_lung_that_is_given_twice_is_refused(write, masks, says):
  root = write("images/x.png", *(f"masks/{name}" for name in masks))
  with pytest.raises(DataError, match=says):
    _read(root)


def test_a_side_in_the_name_of_an_image_is_part_of_the_name(write):
  root = write(
    *("images/x_left.png", "images/x_right.png"),
    *("masks/x_left.png", "masks/x_right_mask.png"),
  )
  assert _masks(root) == {
    "x_left": ["x_left.png"],
    "x_right": ["x_right_mask.png"],
  }


def test_a_mask_without_its_image_is_missing_by_its_plain_name(write):
  root = write("images/x.png", "masks/x.png", "masks/mask_y-seg.png")
  assert _read(root)[1].missing == ("images/y.* (named in mask_y-seg.png)",)


@pytest.mark.parametrize(
  ("path", "says"),
  [
    ("label.csv=text", r"label\.csv is not read.*patient.*training and test"),
    ("labels.xlsx=text", r"labels\.xlsx is not read.*must be labels\.csv"),
    ("contours/x.png", r"contours/ is not read \(1 files\)"),
    ("labels/x.png", r"labels/ is not read \(1 files\), since masks/ is"),
    ("image/x.png", r"image/ is not read \(1 files\), since images/ is"),
    ("images/README.TXT=text", r"1 files are passed over.*images/README\.TXT"),
    ("masks/notes.docx=text", r"passed over, which are no.*masks/notes\.docx"),
    ("images/DICOMDIR=dicom", r"passed over, which are no images: .*DICOMDIR"),
    ("images/web.webp=text", r"passed over.*images/web\.webp"),
    ("images/P1/y.png", r"images/ subfolders are read too: P1"),
  ],
)
def test_what_is_not_read_is_named(write, path, says):
  root = write("images/x.png", "masks/x.png", path)
  spec, found = _read(root)
  assert found.examples[-1].id in spec.ids
  assert _masks(root)["x"] == ["x.png"]
  assert re.search(says, _notes(root)), _notes(root)


def test_what_systems_leave_behind_is_no_file(write):
  junk = ("Thumbs.db", "desktop.ini", ".DS_Store", "._x.png", "ehthumbs.db")
  root = write(
    *("images/x.png", "masks/x.png", "__MACOSX/images/._x.png=text"),
    *(f"{folder}/{name}=text" for name in junk for folder in ("images", ".")),
    "images/@eaDir/x.png",
  )
  assert _masks(root) == {"x": ["x.png"]}
  assert _notes(root) == ""


@pytest.mark.parametrize(
  "name",
  [
    *("CR.1.3.12.2.1107", "IM-0001-0001", "1.2.840.113619.2.1.7"),
    *("film v2.final", "IM000001", "a.b"),
  ],
)
def test_dicom_of_any_name(write, name):
  root = write(f"images/{name}=dicom", f"masks/{name}.png")
  assert _masks(root) == {name: [f"{name}.png"]}


@pytest.mark.parametrize("name", ["f.IMA", "f.dic", "f.jfif", "f.DICOM"])
def test_suffixes_that_are_known_are_no_part_of_an_id(write, name):
  root = write(f"images/{name}=dicom", "masks/f.png")
  assert _masks(root) == {"f": ["f.png"]}


def test_nested_studies_have_ids_of_their_own(write):
  root = write(
    *("images/P1/S1/IM1=dicom", "images/P2/S1/IM1=dicom", "images/P2/S1/IM2"),
    *("masks/P1/S1/IM1.png", "masks/P2_S1_IM1_mask.png", "masks/IM2.png"),
    table="id,label\nP1/S1/IM1,tb\nP2_S1_IM1,normal\nIM2,tb\n",
  )
  assert _masks(root) == {
    "IM2": ["IM2.png"],
    "P1_S1_IM1": ["IM1.png"],
    "P2_S1_IM1": ["P2_S1_IM1_mask.png"],
  }
  spec = _read(root)[0]
  assert [spec.class_names[spec.label(i)] for i in spec.ids] == [
    *("tb", "tb", "normal")
  ]


@pytest.mark.parametrize(
  ("cell", "example_id"),
  [
    *(("001", "001"), ("1", "001"), ("1.0", "001"), ("001.png", "001")),
    *(("1.PNG", "001"), ("images/001.png", "001"), (r"C:\x\001.jpg", "001")),
    *(("FILM A", "film a"), ("film a.dcm", "film a"), ("7", "7")),
    *(("7.0", "7"), ("Größe", "größe"), ("a.b", "a.b")),
  ],
)
def test_ids_of_a_table_as_programs_write_them(write, cell, example_id):
  root = write(
    *(f"images/{i}.png" for i in ("001", "film a", "7", "größe", "a.b")),
    table=f'id,label\n"{cell}",tb\n',
  )
  spec, found = _read(root)
  assert not found.missing
  assert [e.id for e in found.examples if e.label == 0] == [example_id]
  assert (f"{cell!r} is" in _notes(root)) == (cell != example_id)
  assert len(spec.ids) == 5


@pytest.mark.parametrize(
  ("rows", "says"),
  [
    (["1"], "1 fits 001 and 01"),
    (["FILM"], "FILM fits Film and film"),
    (["01", "01.png"], r"01 and 01\.png both fit 01"),
    (["x", "y"], r"None of the 2 ids .* 'x'; 'y' there, and '001'"),
  ],
)
def test_ids_that_are_ambiguous_are_refused(write, rows, says):
  table = "id,label\n" + "".join(f"{row},tb\n" for row in rows)
  names = ("001", "01", "film", "Film")
  root = write(*(f"images/{n}.png" for n in names), table=table)
  with pytest.raises(
    DataError, match=says.replace("01 and 001", "0+1 and 0+1")
  ):
    _read(root)


@pytest.mark.parametrize(
  ("place", "says"),
  [
    ("DICOM/PA1/IM1=dicom", r"found in DICOM/PA1/ \(1\).*called images"),
    ("a.png", r"found in \./ \(1\).*called images"),
    ("notes.txt=text", "Check --raw_dir"),
  ],
)
def test_where_images_were_found_instead(write, place, says):
  root = write(place)
  with FOLDER.open(root) as source, pytest.raises(DataError, match=says):
    raw_index.index_complete(source, FOLDER.of(source), allow_missing=True)
