"""NIH ChestX-ray14: 112,120 films of 30,805 patients; masks of CheXmask.

Layout, as nihcc.app.box.com/v/ChestXray-NIHCC gives it out:

    images/00000001_000.png                1024 x 1024, of 12 archives
    Data_Entry_2017.csv                    or Data_Entry_2017_v2020.csv
    train_val_list.txt, test_list.txt      the published parts, by patient
    ChestX-Ray8.csv                        of CheXmask's OriginalResolution/

Labels were mined from reports (14 findings, or No Finding); a film has any
number of findings. All of them are its `finding`, separated by `|`.

The 14 are labels of their own (data.diagnosis=findings). Class, by this rule
alone: `no_finding` for No Finding, else `finding`. It is not a diagnosis. The
published labels have an error of up to 10 %, by their authors.

Masks: lungs and heart of `chexmask`, made by a network. A film whose mask has a
Dice RCA (Mean) below 0.7, or none, has no mask, and a remark counts them.

Split `given`: the published test part; validation is a tenth of the patients of
the published training part, chosen by digests (`tables.parts`).

Terms: no restrictions on use; link to the site, cite Wang et al. 2017, and
acknowledge the NIH Clinical Center. Overlap: `chestx_det` and `siim_acr` are
made of these films, under other names.
"""

import dataclasses

from apppau_jax.datasets import chexmask, tables
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import DatasetSpec, File, Reading
from apppau_jax.errors import DataError

IMAGES = 112_120
FINDINGS = (
  *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion"),
  *("Emphysema", "Fibrosis", "Hernia", "Infiltration", "Mass", "Nodule"),
  *("Pleural_Thickening", "Pneumonia", "Pneumothorax"),
)
NONE = "No Finding"
_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_MASKS = "ChestX-Ray8.csv"
_LISTS = ("train_val_list.txt", "test_list.txt")
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age")
_PER_YEAR = {"Y": 1, "M": 12, "D": 365}
# The two versions of the table differ in this.
_SEX = ("Patient Sex", "Patient Gender")


def read_spec(source: RawSource) -> DatasetSpec:
  """Returns the spec with the films, findings, patients and masks of a source.

  Raises:
    DataError: a table or list is absent, or contradicts itself.
  """
  table = tables.find(source, *_TABLES)
  rows = {}
  for row in tables.read(source, table, _COLUMNS):
    name = row.cells["Image Index"].removesuffix(".png")
    if name in rows:
      raise DataError(
        f"{row.where} is about {name}, which has a row already. Get the table "
        "again from its owner."
      )
    rows[name] = row
  findings = {i: _findings(row) for i, row in rows.items()}
  patients = {i: row.cells["Patient ID"] for i, row in rows.items()}
  parts = _parts(source, patients)
  masks_key = tables.find(source, _MASKS)
  masks = chexmask.read(source, masks_key, image="Image Index")
  annotations = {
    i: masks.annotations[f"{i}.png"]
    for i in rows
    if f"{i}.png" in masks.annotations
  }
  sexes = _sexes(source, table)

  def image_files(example_id: str) -> tuple[File, ...]:
    return (("images", f"{example_id}.png"),)

  poor = sum(f"{i}.png" in masks.poor for i in rows)
  none = len(rows) - len(annotations) - poor
  remark = (
    f"{poor} films have a mask of Dice RCA (Mean) below {chexmask.QUALITY} and "
    f"{none} have none: they are prepared without a mask"
  )
  return dataclasses.replace(
    CHESTX_RAY14,
    ids=tuple(sorted(rows)),
    without_mask=frozenset(rows.keys() - annotations.keys()),
    patients=patients,
    label=lambda example_id: int(findings[example_id] != (NONE,)),
    images=image_files,
    annotations=annotations,
    annotated_in=(
      *(table, masks_key),
      *(tables.find(source, name) for name in _LISTS),
    ),
    readings={
      i: Reading(
        sex=sexes[i],
        age=_age(row.cells["Patient Age"]),
        finding="|".join(findings[i]),
        findings=tuple(int(name in findings[i]) for name in FINDINGS),
        details={"split": parts[i]},
      )
      for i, row in rows.items()
    },
    notes=((source.describe(masks_key), remark),) if poor + none else (),
  )


def _findings(row: tables.Row) -> tuple[str, ...]:
  """Returns the findings of a film, sorted."""
  stated = row.cells["Finding Labels"]
  found = tuple(sorted({name.strip() for name in stated.split("|")}))
  if found != (NONE,) and not set(found) <= set(FINDINGS):
    raise DataError(
      f"{row.where}: the findings {stated[:100]!r} are neither {NONE} nor of "
      "the 14 of this set, separated by '|'. Get the table again from its "
      "owner."
    )
  return found


def _age(text: str) -> str:
  """Returns whole years of "58", "058Y" or "011M"; "" for other text."""
  number, unit = text[:3], text[3:] or "Y"
  if not text[:3].isdecimal() or unit not in _PER_YEAR:
    return ""
  return str(int(number) // _PER_YEAR[unit])


def _sexes(source: RawSource, table: str) -> dict[str, str]:
  header = tables.text(source, table).partition("\n")[0]
  column = _SEX[0] if _SEX[0] in header else _SEX[1]
  return {
    row.cells["Image Index"].removesuffix(".png"): row.cells[column][:1].upper()
    for row in tables.read(source, table, ("Image Index", column))
  }


def _parts(source: RawSource, patients: dict[str, str]) -> dict[str, str]:
  """Returns train, validation or test of each film."""
  train, test = (
    [
      line.removesuffix(".png")
      for line in tables.read_list(source, tables.find(source, name))
    ]
    for name in _LISTS
  )
  found = tables.parts(train, test, patients=patients, salt=CHESTX_RAY14.name)
  if unlisted := sorted(patients.keys() - found.keys()):
    raise DataError(
      f"{len(unlisted)} films are in neither {' nor '.join(_LISTS)}, first "
      f"{unlisted[0]}.png. Get the lists again from their owner."
    )
  return found


CHESTX_RAY14 = DatasetSpec(
  name="chestx_ray14",
  title="NIH ChestX-ray14, with CheXmask's masks of lungs and heart.",
  citation="Wang et al. 2017 (CVPR); masks: Gaggion et al. 2024 (CheXmask)",
  terms="No restrictions; link, cite, acknowledge the NIH Clinical Center.",
  class_names=("no_finding", "finding"),
  where="images/00000001_000.png",
  suffixes=(".png", ".csv", ".txt"),
  structures=chexmask.STRUCTURES,
  details={"split": ""},
  finding_names=FINDINGS,
  counts={"": IMAGES},
  complete=read_spec,
)
