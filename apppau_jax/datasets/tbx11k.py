"""TBX11K: radiographs of four classes, with boxes around tuberculosis.

Layout, as github.com/yun-liu/Tuberculosis gives it out:

    TBX11K/imgs/{health,sick,tb}/NAME.png         512 x 512; 3,800, 3,800, 800
    TBX11K/imgs/test/NAME.png                     3,302 without labels
    TBX11K/imgs/extra/...                         films of Montgomery, Shenzhen,
                                                  and two sets DA and DB
    TBX11K/annotations/json/TBX11K_trainval_only_tb.json     COCO, boxes
    TBX11K/lists/TBX11K_{train,val}.txt           6,600 and 1,800 lines

The XML annotations are not read: they refer to films of the original size.

The mask is the union of the boxes (pixels whose centre lies inside), which is
coarser than an outline; it is empty for health and sick. Class: `healthy`,
`sick_non_tb`, and by the boxes of a film in tb/ `active_tb` or `latent_tb`
(category ObsoletePulmonaryTuberculosis). A film with boxes of both, or of
another category, has no class, and its `finding` names them; one without a box
(tb1199) has neither class nor mask.

Split `given`: test is the published validation part, since the labels of the
published test part are withheld; validation is a tenth of the published
training part, chosen by digests (`tables.parts`).

Overlap: imgs/extra and imgs/test are left out, and a remark counts them. The
former holds films of Montgomery and Shenzhen, and imgs/test has 502 films more
than the 2,800 that its authors count as their own. A film of the other folders
whose file equals one of imgs/extra, or an image of those sets (MCUCXR_*,
CHNCXR_*) anywhere below raw_dir, is left out by its content, with a remark.
Copies that were resampled are found by `launch.verify_data` on prepared sets:
--dataset=tbx11k+montgomery+shenzhen.

Not established, and not assumed: which films show the same patient (each counts
as its own). Terms: cite the paper; the licence is as stated on its page.
"""

import collections
import dataclasses
import functools
import pathlib
import re
from collections.abc import Iterable, Sequence

from apppau_jax.datasets import tables
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.datasets.spec import (
  Annotation,
  DatasetSpec,
  Drawn,
  File,
  Reading,
)
from apppau_jax.errors import DataError
from apppau_jax.imaging import coco, outlines, structure

SIDE = 512  # pixels of an image, to which the boxes refer
COUNTS = {"": 8_400, "healthy": 3_800, "sick_non_tb": 3_800}
_BOXES = "TBX11K_trainval_only_tb.json"
_TRAIN, _TEST = "TBX11K_train.txt", "TBX11K_val.txt"
_FOLDERS = ("health", "sick", "tb")
_EXTRA, _UNLABELLED = "extra", "test"
_OTHER_SETS = re.compile(r"(MCUCXR|CHNCXR)_\d{4}_[01]\.png", re.IGNORECASE)
_CLASSES: dict[tuple[str, ...], int] = {
  ("ActiveTuberculosis",): 2,
  ("ObsoletePulmonaryTuberculosis",): 3,
}


def read_spec(source: RawSource) -> DatasetSpec:
  """Returns the spec with the films, boxes and lists of a source.

  Raises:
    DataError: the boxes or a list are absent or damaged.
  """
  found = _images(source)
  others = [*found[_EXTRA], *found[""]]
  copies = _copies(source, dict(_films(found)), others)
  images = {i: key for i, key in _films(found) if i not in copies}
  boxes_key = tables.find(source, _BOXES)
  boxes = _boxes(source, boxes_key)
  where = source.describe(boxes_key)
  kinds = {
    i: tuple(sorted({one.category for one in boxes.get(i, ())}))
    for i in images
    if i.startswith("tb_")
  }
  bare = [i for i, names in kinds.items() if not names]
  parts = _parts(source, images)

  def label(example_id: str) -> int:
    if example_id in kinds:
      return _CLASSES.get(kinds[example_id], -1)
    return int(example_id.startswith("sick_"))

  def image_files(example_id: str) -> tuple[File, ...]:
    folder, _, name = example_id.partition("_")
    return (("", images.get(example_id, f"imgs/{folder}/{name}.png")),)

  count = len(others) + len(found[_UNLABELLED])
  remark = f"{count} files of imgs/extra, imgs/test and other sets are left out"
  notes = [("imgs", remark)] if count else []
  notes += [(i, "left out: a film of another set, by content") for i in copies]
  notes += [(i, "has no box: neither class nor mask") for i in bare]
  notes += [
    (i, f"has no class: {' and '.join(names)}")
    for i, names in kinds.items()
    if names and names not in _CLASSES
  ]
  return dataclasses.replace(
    TBX11K,
    ids=tuple(sorted({*images, *parts} - copies)),
    without_mask=frozenset(bare),
    label=label,
    images=image_files,
    annotations={
      i: Annotation(where, functools.partial(_draw, boxes.get(i, ())))
      for i in images
      if i not in bare
    },
    annotated_in=(
      boxes_key,
      *(tables.find(source, name) for name in (_TRAIN, _TEST)),
    ),
    readings={
      i: Reading(
        finding=", ".join(kinds.get(i, ())),
        details={"split": parts.get(i, "")},
      )
      for i in images
    },
    notes=tuple(notes),
  )


def _images(source: RawSource) -> dict[str, dict[str, str]]:
  """Returns the keys of images by folder and name; "" is of other sets."""
  found: dict[str, dict[str, str]] = collections.defaultdict(dict)
  for key in source.all_keys():
    path = pathlib.PurePosixPath(key.split("::", 1)[1])
    if path.suffix.lower() != ".png":
      continue
    folders = [part.lower() for part in path.parts[:-1]]
    if "imgs" not in folders or _OTHER_SETS.fullmatch(path.name):
      found[""][key] = key
      continue
    inner = [*folders[folders.index("imgs") + 1 :], ""][0]
    if inner in _FOLDERS:
      found[inner][path.stem] = key
    elif inner in (_EXTRA, _UNLABELLED):
      found[inner][key] = key
  return found


def _films(found: dict[str, dict[str, str]]) -> Iterable[tuple[str, str]]:
  for folder in _FOLDERS:
    for name, key in found[folder].items():
      yield f"{folder}_{name}", key


def _copies(
  source: RawSource, films: dict[str, str], others: Iterable[str]
) -> set[str]:
  """Returns the films whose file equals one of some others."""
  contents: dict[int, set[int]] = collections.defaultdict(set)
  for key in others:
    contents[source.size(key)].add(source.crc32(key))
  return {
    i
    for i, key in films.items()
    if (size := source.size(key)) in contents
    and source.crc32(key) in contents[size]
  }


def _boxes(
  source: RawSource, key: str
) -> dict[str, tuple[coco.Annotation, ...]]:
  """Returns the boxes of each film in tb/."""
  try:
    pictures = coco.read(source.read(key))
  except ValueError as error:
    raise DataError(
      f"{source.describe(key)} cannot be read: {error}. Get it again from its "
      "owner."
    ) from error
  return {
    f"tb_{pathlib.PurePosixPath(picture.file_name).stem}": picture.annotations
    for picture in pictures
  }


def _parts(source: RawSource, images: dict[str, str]) -> dict[str, str]:
  """Returns train, validation or test of each listed film."""
  ids = []
  for name in (_TRAIN, _TEST):
    lines = tables.read_list(source, tables.find(source, name))
    paths = [pathlib.PurePosixPath(line) for line in lines]
    ids.append([f"{path.parent.name}_{path.stem}" for path in paths])
  listed = tables.parts(ids[0], ids[1], patients={}, salt=TBX11K.name)
  if unlisted := sorted(images.keys() - listed.keys()):
    raise DataError(
      f"{len(unlisted)} films are in neither {_TRAIN} nor {_TEST}, first "
      f"{unlisted[0]}. Get the lists again from their owner."
    )
  return listed


def _draw(boxes: Sequence[coco.Annotation], size: tuple[int, int]) -> Drawn:
  """Returns the union of the boxes of a film."""
  if size != (SIDE, SIDE):
    raise ValueError(
      f"the image is {size[1]}x{size[0]} pixels, and the boxes are of images "
      f"of {SIDE}x{SIDE}"
    )
  corners = [one.box for one in boxes if one.box]
  if len(corners) < len(boxes):
    raise ValueError("an annotation has no bbox")
  return Drawn(outlines.fill_boxes(corners, size))


TBX11K = DatasetSpec(
  name="tbx11k",
  title="TBX11K: healthy, sick, active and latent tuberculosis; boxes.",
  citation="Liu et al. 2020 (CVPR), Rethinking Computer-aided TB Diagnosis",
  terms="Cite; licence as stated on its page.",
  class_names=("healthy", "sick_non_tb", "active_tb", "latent_tb"),
  where="TBX11K/imgs/{health,sick,tb}/NAME.png",
  suffixes=(".png", ".json", ".txt"),
  outlined=structure.finding("boxes of tuberculosis"),
  details={"split": ""},
  counts=COUNTS,
  complete=read_spec,
)
