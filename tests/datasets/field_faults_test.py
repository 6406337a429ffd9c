"""What is wrong with the tables of the sets is named with file and row."""

import pytest
from fixtures import field_sets

from apppau_jax.datasets import raw_index, registry, shards
from apppau_jax.datasets.prepare import prepare
from apppau_jax.datasets.prepared import Prepared
from apppau_jax.errors import DataError


@pytest.fixture
def write(tmp_path, monkeypatch):
  """Writes a copy of a set and returns its folder."""

  def call(name):
    expected = field_sets.WRITERS[name](tmp_path)
    field_sets.expect(monkeypatch, name, counts={"": len(expected)})
    return tmp_path

  return call


def _index(name, root):
  spec = registry.spec(name)
  with spec.open(root) as source:
    return raw_index.index(source, spec.of(source))


def _replace(path, old, new):
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
  ("changed", "value"),
  [
    *(("finding_Effusion", 7), ("finding_Nodule", -2)),
    *(("label", 2), ("label", -2)),
  ],
)
def test_a_prepared_record_states_what_can_be_stated(
  write, tmp_path, monkeypatch, changed, value
):
  prepare("chestx_det", raw_dir=write("chestx_det"), data_dir=tmp_path / "data")
  found = Prepared(dataset="chestx_det", data_dir=tmp_path / "data")
  opened = shards.Shards(found)
  assert changed in opened.read([0])[0]
  typed = shards.Shards._typed

  def hostile(self, name, stored):
    return value if name == changed else typed(self, name, stored)

  monkeypatch.setattr(shards.Shards, "_typed", hostile)
  with pytest.raises(DataError, match="a record cannot be read"):
    opened.read([0])


@pytest.mark.parametrize(
  ("name", "file"),
  [
    ("siim_acr", "train-rle.csv"),
    ("chestx_ray14", "Data_Entry_2017.csv"),
    ("chestx_ray14", "OriginalResolution/ChestX-Ray8.csv"),
    ("chestx_ray14", "test_list.txt"),
    ("chestx_det", "ChestX_Det_test.json"),
    ("tbx11k", "TBX11K/annotations/json/TBX11K_trainval_only_tb.json"),
    ("tbx11k", "TBX11K/lists/TBX11K_val.txt"),
    ("vindr_cxr", "annotations/image_labels_test.csv"),
    ("vindr_cxr", "annotations/annotations_train.csv"),
  ],
)
def test_an_absent_table_is_named(name, file, write):
  root = write(name)
  (root / file).unlink()
  with pytest.raises(DataError, match=file.rpartition("/")[2]):
    _index(name, root)


@pytest.mark.parametrize(
  ("name", "file", "old", "new", "reason"),
  [
    ("siim_acr", "train-rle.csv", "ImageId", "Image", "no column 'ImageId'"),
    ("siim_acr", "train-rle.csv", "ImageId", "Image\0", "train-rle"),
    (
      "chestx_ray14", "Data_Entry_2017.csv", "Hernia", "Cold",
      r"Data_Entry_2017\.csv, line 4.*Cold",
    ),
    (
      "chestx_ray14", "Data_Entry_2017.csv", "No Finding", "No Finding|Hernia",
      r"line 2.*No Finding\|Hernia",
    ),
    (
      "chestx_ray14", "Data_Entry_2017.csv", "00000001_001", "00000001_000",
      r"line 3.*00000001_000",
    ),
    (
      "chestx_ray14", "train_val_list.txt", "00000001_000.png\n", "",
      "1 films.*00000001_000",
    ),
    (
      "chestx_det", "ChestX_Det_train.json", '"Nodule"', '"Cold"',
      r"ChestX_Det_train\.json, entry \d+.*'Cold'",
    ),
    ("chestx_det", "ChestX_Det_train.json", "36001", "36000", "36000.*entry 0"),
    ("chestx_det", "ChestX_Det_train.json", '"syms": []', '"syms": 1', "syms"),
    ("chestx_det", "ChestX_Det_train.json", "[{", "{", "ChestX_Det_train"),
    (
      "chestx_det", "ChestX_Det_train.json", '"syms": []', '"syms": ["Mass"]',
      "1 findings and 0 polygons",
    ),
    (
      "tbx11k", "TBX11K/annotations/json/TBX11K_trainval_only_tb.json",
      '"category_id": 1', '"category_id": 5', r"tb\.json.*annotations\.0",
    ),
    (
      "tbx11k", "TBX11K/lists/TBX11K_train.txt", "sick/s0000.png\n", "",
      "1 films.*sick_s0000",
    ),
    (
      "vindr_cxr", "annotations/image_labels_train.csv", "R1,0", "R1,2",
      r"labels_train\.csv, line 2: Aortic enlargement is '2'",
    ),
    (
      "vindr_cxr", "annotations/image_labels_train.csv", "R8", "R1",
      r"labels_train\.csv, line 3.*already",
    ),
    (
      "vindr_cxr", "annotations/image_labels_test.csv", f"{3:032x}",
      f"{0:032x}", f"{0:032x} is a film of .*train.* and of .*test",
    ),
    (
      "vindr_cxr", "annotations/image_labels_test.csv", "Other disease,", "",
      "no column 'Other disease'",
    ),
    (
      "vindr_cxr", "annotations/annotations_test.csv", "Rib fracture", "Cold",
      r"annotations_test\.csv, line 2: 'Cold'",
    ),
    (
      "vindr_cxr", "annotations/annotations_test.csv", ",10,12,", ",ten,12,",
      r"annotations_test\.csv, line 2: the box of Rib fracture.*ten",
    ),
  ],
)  # fmt: skip
def test_a_damaged_table_is_named(name, file, old, new, reason, write):
  root = write(name)
  _replace(root / file, old, new)
  with pytest.raises(DataError, match=reason):
    _index(name, root)


def test_rows_that_contradict_each_other(write):
  root = write("siim_acr")
  path = root / "train-rle.csv"
  first = path.read_text().splitlines()[1].partition(",")[0]
  path.write_text(path.read_text() + f"{first}, -1\n")
  with pytest.raises(DataError, match=rf"line 2 .*line \d+ contra.*{first}"):
    _index("siim_acr", root)


@pytest.mark.parametrize(
  ("name", "file", "old", "new", "reason"),
  [
    (
      "siim_acr", "train-rle.csv", " 9 55 9", " 9 9999 9",
      r"train-rle\.csv, line 2.*leave",
    ),
    (
      "chestx_det", "ChestX_Det_train.json", "[[[21, ", "[[[999, ",
      r"entry 1 cannot be used.*\(999, \d+\)",
    ),
    (
      "chestx_ray14", "OriginalResolution/ChestX-Ray8.csv", ",64,64", ",64,65",
      r"ChestX-Ray8\.csv, row 1.*65x64",
    ),
    (
      "tbx11k", "TBX11K/annotations/json/TBX11K_trainval_only_tb.json",
      "12.2, 8", "12.2, 800", r"tb_tb0000.*not on",
    ),
    (
      "vindr_cxr", "annotations/annotations_train.csv", ",30,40", ",900,40",
      rf"{1:032x} in .*annotations_train\.csv.*\(900, 40\)",
    ),
  ],
)  # fmt: skip
def test_masks_that_do_not_fit_their_image(
  name, file, old, new, reason, write, tmp_path
):
  root = write(name)
  _replace(root / file, old, new)
  with pytest.raises(DataError, match=reason):
    prepare(name, raw_dir=root, data_dir=tmp_path / "data")


@pytest.mark.parametrize(
  ("name", "file", "absent"),
  [
    ("siim_acr", "dicom-images-train/1.2.0/1.3.0/*.dcm", r"1\.2\.276\.0\.0"),
    ("chestx_det", "train_data/train/36000.png", "36000"),
    ("chestx_ray14", "images_001/images/00000001_000.png", "00000001_000"),
    ("tbx11k", "TBX11K/imgs/tb/tb0001.png", "tb0001"),
    (
      "covid19_radiography",
      "COVID-19_Radiography_Dataset/COVID/masks/COVID-1.png", "masks/COVID-1",
    ),
    (
      "covid_qu_ex",
      "Lung Segmentation Data/Lung Segmentation Data/Test/Normal/images/"
      "film (1).png", "test_normal_film_",
    ),
    ("vindr_cxr", f"train/{0:032x}.dicom", f"{0:032x}"),
  ],
)  # fmt: skip
def test_an_absent_picture_is_missing(name, file, absent, write, tmp_path):
  root = write(name)
  next(root.glob(file)).unlink()
  with pytest.raises(DataError, match=absent):
    prepare(name, raw_dir=root, data_dir=tmp_path / "data")
  assert _index(name, root).missing


def test_films_of_other_sets_are_left_out_with_a_remark(write):
  root = write("tbx11k")
  found = _index("tbx11k", root)
  ids = {raw.id for raw in found.examples}
  notes = dict(found.notes)
  assert "health_h0009" not in ids
  assert "by content" in notes["health_h0009"]
  assert "2 files" in notes["imgs"]
  assert "no box" in notes["tb_tb0003"]
  assert "Active" in notes["tb_tb0002"]
  # A film of Montgomery anywhere below the folder counts as well.
  other = root / "MontgomerySet/CXR_png/MCUCXR_0001_0.png"
  other.parent.mkdir(parents=True)
  other.write_bytes((root / "TBX11K/imgs/sick/s0001.png").read_bytes())
  assert "by content" in dict(_index("tbx11k", root).notes)["sick_s0001"]


def test_images_without_a_mask_are_counted(write):
  ray = dict(_index("chestx_ray14", write("chestx_ray14")).notes)
  assert any("1 films" in n and "1 have none" in n for n in ray.values())


def test_masks_without_a_row_are_counted(write):
  siim = dict(_index("siim_acr", write("siim_acr")).notes)
  assert any("no row for 2 images" in note for note in siim.values())


def test_films_on_which_readers_disagree_are_counted(write):
  root = write("vindr_cxr")
  (root / "train/new.dicom").write_bytes(b"not read")
  found = _index("vindr_cxr", root)
  notes = [note for _, note in found.notes]
  assert any("6 films no class" in note for note in notes)
  assert any("no row for 1 files" in note and "new" in note for note in notes)
  assert "new" not in {raw.id for raw in found.examples}


def test_what_a_reader_did_not_state_is_no_vote(write):
  """Of three readers two mark the finding; one of them, then both, do not."""
  root, name = write("vindr_cxr"), f"{1:032x}"
  path = root / "annotations/image_labels_train.csv"

  def stated():
    spec = registry.spec("vindr_cxr")
    with spec.open(root) as source:
      own = spec.of(source)
    return own.label(name), own.readings[name].findings[1]

  assert stated() == (1, 1)  # atelectasis
  _replace(path, f"{name},R1,0,1,", f"{name},R1,0,,")
  assert stated() == (-1, 0)
  _replace(path, f"{name},R8,0,1,", f"{name},R8,0.0,,")
  _replace(path, f"{name},R10,0,0,", f"{name},R10,0,,")
  assert stated() == (-1, -1)


def test_a_table_in_another_encoding_is_not_guessed(write):
  root = write("chestx_ray14")
  path = root / "Data_Entry_2017.csv"
  lines = path.read_bytes().splitlines()
  lines[2] = lines[2].replace(b"PA", "é".encode("latin-1"))
  path.write_bytes(b"\n".join(lines))
  with pytest.raises(DataError, match=r"2017\.csv.*line 3.*0xe9.*CSV UTF-8"):
    _index("chestx_ray14", root)
  text = path.read_bytes().replace(b"\xe9", b"PA").decode()
  path.write_text(text, encoding="utf-16")
  assert len(_index("chestx_ray14", root).examples) == 24
