"""COVID-19 Radiography Database: 21,165 radiographs of four classes with masks.

Layout, as Kaggle gives it out (tawsifurrahman/covid19-radiography-database):

    COVID-19_Radiography_Dataset/COVID/images/COVID-1.png          299 x 299
    COVID-19_Radiography_Dataset/COVID/masks/COVID-1.png           256 x 256
    COVID-19_Radiography_Dataset/{Lung_Opacity,Normal,Viral Pneumonia}/...

README.md.txt states 3,616 COVID-19, 10,192 normal, 6,012 lung opacity and 1,345
viral pneumonia images "and corresponding lung masks", so that a mask of 256
pixels shows the same frame as its image of 299.

Not established, and not assumed: which images show the same patient (each
counts as its own), any published split, and the licence. The spreadsheets
NAME.metadata.xlsx are not read.

Overlap: its README names PadChest, SIRM and other collections (COVID-19), RSNA
(normal, lung opacity) and a Kaggle set of pneumonia (viral pneumonia, normal).
COVID-QU-Ex is by the same group.
"""

import pathlib

from apppau_jax.datasets.pairs import paired
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import DatasetSpec

# Folder and class by class index.
_FOLDERS = {
  "Normal": "normal",
  "COVID": "covid19",
  "Lung_Opacity": "lung_opacity",
  "Viral Pneumonia": "viral_pneumonia",
}
COUNTS = {
  "normal": 10_192,
  "covid19": 3_616,
  "lung_opacity": 6_012,
  "viral_pneumonia": 1_345,
}


def read_spec(source: RawSource) -> DatasetSpec:
  """Returns the spec with the images of these folders."""
  images, masks, labels = {}, {}, {}
  for key in source.all_keys():
    path = pathlib.PurePosixPath(key.split("::", 1)[1])
    folders = [part.lower() for part in path.parts[-3:-1]]
    for label, folder in enumerate(_FOLDERS):
      example_id = path.stem.replace(" ", "_")
      if folders == [folder.lower(), "images"]:
        images[example_id], labels[example_id] = key, label
      elif folders == [folder.lower(), "masks"]:
        masks[example_id] = key
  return paired(COVID19_RADIOGRAPHY, images=images, masks=masks, labels=labels)


COVID19_RADIOGRAPHY = DatasetSpec(
  name="covid19_radiography",
  title="COVID-19 Radiography Database, with lung masks.",
  citation="Chowdhury et al. 2020; Rahman et al. 2021",
  terms="As stated on its page; not established here.",
  class_names=tuple(COUNTS),
  where="COVID-19_Radiography_Dataset/{COVID,...}/images/*.png",
  suffixes=(".png",),
  frames=((299, 299), (256, 256)),
  counts=COUNTS,
  complete=read_spec,
)
