"""COVID-QU-Ex: radiographs of three classes; its lungs and its infections.

Layout, as Kaggle gives it out (anasmohammedtahir/covidqu), two trees of

    TREE/TREE/{Train,Val,Test}/{COVID-19,Non-COVID,Normal}/
      images/NAME.png, lung masks/NAME.png                         256 x 256
      infection masks/NAME.png        COVID-19 of the second tree only

`covid_qu_ex` is the tree `Lung Segmentation Data`. 11,956 of its 33,920 images
show COVID-19 (7,658 in Train, 1,903 in Val, 2,395 in Test), 11,263 other
pneumonias (7,208, 1,802, 2,253) and 10,701 neither (6,849, 1,712, 2,140).

`covid_qu_ex_infection` is the tree `Infection Segmentation Data`: 2,913 images
with COVID-19, 1,457 with other pneumonias and 1,456 of neither. Its structures
are lungs and infection, which may be small or empty. An image without a file
of its infection has no structures: that it has none is not stated.

Split `given` is the published one of each tree. Names may occur in several
folders, so that ids are PART_CLASS_NAME.

Not established, and not assumed: the numbers of images in the parts of the
second tree, which images show the same patient (each counts as its own;
whether the published parts share patients is unknown), and the licence.

Overlap: the images of the second tree are some of the first, in other parts, by
no published relation; do not train on one and test on the other. An earlier set
of the same group is `covid19_radiography`; both were collected from other
public sets.
"""

import pathlib

from apppau_jax.datasets.pairs import paired
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import DatasetSpec, File, Reading

_PARTS = {"train": "train", "val": "validation", "test": "test"}
# Folder by class.
_CLASSES = {"normal": "normal", "covid-19": "covid19", "non-covid": "pneumonia"}
_INFECTION = "infection segmentation data"
COUNTS = {"normal": 10_701, "covid19": 11_956, "pneumonia": 11_263}
INFECTION_COUNTS = {"normal": 1_456, "covid19": 2_913, "pneumonia": 1_457}


def read_lungs(source: RawSource) -> DatasetSpec:
  """Returns the spec with the images of the first tree."""
  return _read(source, COVID_QU_EX)


def read_infections(source: RawSource) -> DatasetSpec:
  """Returns the spec with the images of the second tree."""
  return _read(source, COVID_QU_EX_INFECTION)


def _read(source: RawSource, spec: DatasetSpec) -> DatasetSpec:
  kinds: dict[str, dict[str, str]] = {
    kind: {} for kind in ("images", "lung masks", "infection masks")
  }
  labels, parts = {}, {}
  for key in source.all_keys():
    path = pathlib.PurePosixPath(key.split("::", 1)[1])
    folders = [part.lower() for part in path.parts[:-1]]
    part, finding, kind = [*[""] * 3, *folders][-3:]
    if part not in _PARTS or finding not in _CLASSES or kind not in kinds:
      continue
    if (_INFECTION in folders) != bool(spec.structures):
      continue
    example_id = f"{part}_{_CLASSES[finding]}_{path.stem.replace(' ', '_')}"
    kinds[kind][example_id] = key
    labels[example_id] = [*_CLASSES].index(finding)
    parts[example_id] = _PARTS[part]
  lungs, infections = kinds["lung masks"], kinds["infection masks"]
  of = dict(zip(spec.structures, (lungs, infections)))

  def structure_file(name: str, example_id: str) -> File:
    return ("", of[name].get(example_id, f"{name} masks/{example_id}.png"))

  return paired(
    spec,
    images=kinds["images"],
    masks=lungs,
    labels=labels,
    mask_folder="lung masks",
    structure_file=structure_file,
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
  complete=read_lungs,
)
COVID_QU_EX_INFECTION = DatasetSpec(
  name="covid_qu_ex_infection",
  title="COVID-QU-Ex, its part with masks of lungs and of infections.",
  citation="Tahir et al. 2021; infections: Degerli et al. 2021 (QaTa-COV19)",
  terms="As stated on its page; not established here.",
  class_names=tuple(INFECTION_COUNTS),
  where="Infection Segmentation Data/{Train,Val,Test}/{COVID-19,...}/images/*",
  suffixes=(".png",),
  structures=("lungs", "infection"),
  details={"split": ""},
  counts=INFECTION_COUNTS,
  complete=read_infections,
)
