"""COVID-QU-Ex: 33,920 radiographs of three classes with lung masks.

Layout, as Kaggle gives it out (anasmohammedtahir/covidqu):

    Lung Segmentation Data/Lung Segmentation Data/{Train,Val,Test}/
      {COVID-19,Non-COVID,Normal}/{images,lung masks}/NAME.png     256 x 256
    Infection Segmentation Data/...            not read: the same images again

11,956 images show COVID-19 (7,658 in Train, 1,903 in Val, 2,395 in Test),
11,263 other pneumonias (7,208, 1,802, 2,253) and 10,701 neither (6,849, 1,712,
2,140). Split `given` is the published one.

Names may occur in several folders, so that ids are PART_CLASS_NAME.

Not established, and not assumed: which images show the same patient (each
counts as its own; whether the published parts share patients is unknown), and
the licence. The infection masks of 2,913 COVID-19 images are not read: they lie
in a tree of other parts, in which images have no published relation to these.

Overlap: an earlier set of the same group is `covid19_radiography`; both were
collected from other public sets.
"""

import dataclasses
import pathlib

from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import DatasetSpec, File, MaskFiles, Reading

_PARTS = {"train": "train", "val": "validation", "test": "test"}
# Folder by class.
_CLASSES = {"normal": "normal", "covid-19": "covid19", "non-covid": "pneumonia"}
COUNTS = {"normal": 10_701, "covid19": 11_956, "pneumonia": 11_263}


def read_spec(source: RawSource) -> DatasetSpec:
  """Returns the spec with the images of these folders."""
  images, masks, labels, parts = {}, {}, {}, {}
  for key in source.all_keys():
    path = pathlib.PurePosixPath(key.split("::", 1)[1])
    folders = [part.lower() for part in path.parts[:-1]]
    part, finding, kind = [*[""] * 3, *folders][-3:]
    if part not in _PARTS or finding not in _CLASSES:
      continue
    if "infection segmentation data" in folders:
      continue
    name = path.stem.replace(" ", "_")
    example_id = f"{part}_{_CLASSES[finding]}_{name}"
    if kind == "images":
      images[example_id] = key
      labels[example_id] = [*_CLASSES].index(finding)
      parts[example_id] = _PARTS[part]
    elif kind == "lung masks":
      masks[example_id] = key

  def image_files(example_id: str) -> tuple[File, ...]:
    return (("", images.get(example_id, f"images/{example_id}.png")),)

  def mask_files(example_id: str) -> tuple[MaskFiles, ...]:
    return ((("", masks.get(example_id, f"lung masks/{example_id}.png")),),)

  return dataclasses.replace(
    COVID_QU_EX,
    ids=tuple(sorted({*images, *masks})),
    label=lambda example_id: labels.get(example_id, -1),
    images=image_files,
    masks=mask_files,
    readings={i: Reading(details={"split": part}) for i, part in parts.items()},
  )


COVID_QU_EX = DatasetSpec(
  name="covid_qu_ex",
  title="COVID-QU-Ex: COVID-19, other pneumonia, normal; with lung masks.",
  citation="Tahir et al. 2021",
  terms="As stated on its page; not established here.",
  class_names=tuple(COUNTS),
  where="Lung Segmentation Data/{Train,Val,Test}/{COVID-19,...}/images/*.png",
  suffixes=(".png",),
  details={"split": ""},
  counts=COUNTS,
  complete=read_spec,
)
