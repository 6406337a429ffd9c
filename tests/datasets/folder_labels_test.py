"""labels.csv as spreadsheets and programs write it."""

import pytest

from apppau_jax.datasets import folder_labels
from apppau_jax.errors import DataError

Row = folder_labels.Row


def _read(text, encoding="utf-8"):
  return folder_labels.read_labels(text.encode(encoding), where="labels.csv")


@pytest.mark.parametrize(
  ("text", "encoding"),
  [
    ("id,label,patient\nx,tb,\ny,normal\nz\n", "utf-8"),
    ("sep=;\r\nid;label\r\nx;tb\r\ny;normal\r\nz;\r\n", "utf-8"),
    ('"sep=|"\nid|label\nx|tb\ny|normal\nz|\n', "utf-8"),
    ("id\tlabel\r\nx\ttb\r\ny\tnormal\r\nz\t\r\n", "utf-16"),
    ("id;label\rx;tb\ry;normal\rz;\r", "utf-8-sig"),
    ("\r\n\r\nid,label,,\nx,tb,,\n\ny,normal,,\nz,,,\n,,,\n", "utf-8"),
    ("id,label\nx,tb,,\ny,normal,\nz,,\n", "utf-8"),
    ("id,label\nx,tb\ny,normal\nz,nan\n", "utf-8"),
  ],
)
def test_forms_of_one_table(text, encoding):
  found = _read(text, encoding)
  assert found.rows == {"x": Row("tb"), "y": Row("normal"), "z": Row()}
  assert found.class_names == ("normal", "tb")
  assert found.unread == ()


@pytest.mark.parametrize(
  "cell", ["", "nan", "NaN", "N/A", "#N/A", "NA", "null", "?", "unknown", "-"]
)
def test_cells_that_say_unknown(cell):
  found = _read(f"id,label,patient\nx,{cell},{cell}\ny,tb,p\n")
  assert found.rows["x"] == Row()
  assert found.class_names == ("tb",)
  assert found.remarks == (
    (f"2 cells are read as unknown: {cell} (2)",) * bool(cell)
  )


@pytest.mark.parametrize(
  ("cells", "class_names"),
  [
    (("0", "0.0", "1.00"), ("0", "1")),
    (("1.5", "1.0", "v1.0"), ("1", "1.5", "v1.0")),
  ],
)
def test_whole_numbers_are_one_class(cells, class_names):
  text = "id,label\n" + "".join(f"i{n},{c}\n" for n, c in enumerate(cells))
  assert _read(text).class_names == class_names


def test_a_class_that_may_mean_unknown_is_remarked_on():
  found = _read("id,label\nx,None\ny,tb\n")
  assert found.class_names == ("None", "tb")
  assert "None is read as a class" in found.remarks[0]


@pytest.mark.parametrize(
  ("header", "patient", "says"),
  [
    ("id,label,patient_id", "7", "'patient_id' is read as patient"),
    ("id,label,PatientID", "7", "'patientid' is read as patient"),
    ("id,label,Subject", "7", "'subject' is read as patient"),
    ("id,label,patient_id,subject", "", "may come into training and test"),
    ("id,label,other,patient", "8", ""),
    ("id,label,age", "", ""),
  ],
)
def test_the_column_of_patients(header, patient, says):
  found = _read(f"{header}\nx,tb,7.0,8\n" if header.count(",") > 2
                else f"{header}\nx,tb,7.0\n")  # fmt: skip
  assert found.rows["x"].patient == patient
  assert says in " ".join(found.remarks)
  assert bool(says) == bool(found.remarks)


@pytest.mark.parametrize(
  ("text", "says"),
  [
    ("id,label\nx,A|B\n", "line 2: 'A|B' names several findings"),
    ("id,label,patient\nx,a,007\ny,a,7.0\n", "007 and 7"),
    ("id,label,patient\nx,a,p1\ny,a,P1\n", "P1 and p1"),
    ("Image Index,Finding Labels\nx,a\n", "'image index' is meant as id"),
    ("Image Index,Finding Labels\nx,a\n", "'finding labels' is meant as label"),
    ("accession,diagnosis\nx,a\n", "pass --id_column=NAME"),
    ("accession,diagnosis\nx,a\n", "pass --label_column='diagnosis'"),
    ("Image Index,label\nx,a\n", "pass --id_column='image index'"),
    ("id,label\nx,a,b\n", "3 cells, where the header has 2"),
  ],
)
def test_rows_that_would_mislead_are_refused(text, says):
  with pytest.raises(DataError) as caught:
    _read(text)
  assert says in str(caught.value)


def test_columns_may_have_names_of_their_own():
  table = b"ID,Image,Finding,Case\n7,a.png,tb,p1\n8,b.png,normal,p2\n"
  columns = {"id": "image", "label": "Finding", "patient": "case"}
  found = folder_labels.read_labels(table, where="t", columns=columns)
  assert {n: (r.label, r.patient) for n, r in found.rows.items()} == {
    "a.png": ("tb", "p1"),
    "b.png": ("normal", "p2"),
  }
  with pytest.raises(DataError, match=r"--id_column.*'Image'"):
    folder_labels.read_labels(table, where="t", columns={"id": "picture"})
  with pytest.raises(DataError, match="Two flags name one column"):
    folder_labels.read_labels(
      table, where="t", columns={"id": "image", "patient": "Image"}
    )


def test_the_normal_class_comes_first():
  table = b"id,label\n1,abnormal\n2,normal\n3,tb\n"
  found = folder_labels.read_labels(table, where="t")
  assert found.class_names == ("normal", "abnormal", "tb")


def test_a_header_of_any_length_gives_a_message_that_can_be_read():
  long = ",".join(["9" * 5000] * 500)
  with pytest.raises(DataError, match="id and label") as caught:
    folder_labels.read_labels(long.encode(), where="labels.csv")
  assert len(str(caught.value)) < 5000
