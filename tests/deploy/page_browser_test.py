"""The page in a real browser, against the command on the same films.

Needs Node, npm with a registry, and Chromium. The variable PAGE_RESULTS names a
folder for screenshots and the report.
"""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from fixtures import dicom_files
from PIL import Image

from apppau_jax.phantoms import make_phantom

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("playwright-core@1.65.1", "axe-core@4.14.1")
CHROMIUM = shutil.which("chromium")
SHOWN = ("blank.png", "phantom_13_tb.png", "turned.png")  # on screenshots
KEYBOARD = ("zip", "csv", "clear", "order", "checkbox", "A")

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not (CHROMIUM and shutil.which("npm")), reason="needs Chromium and npm"
  ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return pathlib.Path(
    os.environ.get("PAGE_RESULTS") or tmp_path_factory.mktemp("page")
  )


def _command(*words, status=0):
  done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT)
  assert done.returncode == status


def _films(folder):
  """Phantoms as PNG of 8 and 16 bits, JPEG and DICOM, and what is none."""
  folder.mkdir()
  for path in sorted((ROOT / "docs" / "films").glob("*.png")):
    shutil.copy(path, folder)
  for index in range(2):
    image = make_phantom(seed=24, index=index, size=(900, 800), wide=True).image
    deep = image.astype(np.uint16) * 15 + 60
    spacing = {"ImagerPixelSpacing": [0.4, 0.4]}
    inverted = {"PhotometricInterpretation": "MONOCHROME1"}
    window = {"WindowCenter": 2000, "WindowWidth": 4000}
    contents = {
      "IM": dicom_files.make(deep, **spacing),
      "mono1.dcm": dicom_files.make(4095 - deep, **inverted, **spacing),
      "window.dcm": dicom_files.make(deep, **window),
    }
    for name, content in contents.items():
      (folder / f"{index}_{name}").write_bytes(content)
    Image.fromarray(deep).save(folder / f"{index}_deep.png")
    Image.fromarray(image).save(folder / f"{index}_grey.jpg", quality=95)
    if not index:
      turned = np.ascontiguousarray(image[::-1])
      Image.fromarray(turned).save(folder / "turned.png")
      Image.fromarray(np.full_like(image, 40)).save(folder / "blank.png")


@pytest.fixture(scope="module")
def page(folder):
  """The folder of the page."""
  _command("launch.export", f"--page={folder / 'page'}")
  return folder / "page"


def _order(film):
  return film.name not in SHOWN, film.name


@pytest.fixture(scope="module")
def report(folder, page):
  """What the browser did with the films."""
  modules = folder / "node"
  modules.mkdir()
  subprocess.run(
    ["npm", "install", "--prefix", modules, "--silent", *PACKAGES], check=True
  )
  _films(folder / "films")
  films = sorted((folder / "films").iterdir(), key=_order)
  script = ROOT / "tests" / "deploy" / "page_browser.mjs"
  variables = {"NODE_MODULES": str(modules), "CHROMIUM": CHROMIUM}
  subprocess.run(
    ["node", script, page / "index.html", folder, *films],
    env=os.environ | variables,
    check=True,
  )
  return json.loads((folder / "report.json").read_text())


def test_nothing_leaves_the_machine(report, page):
  assert report["requests"] == [(page / "index.html").as_uri()]
  assert report["errors"] == []


def test_it_can_be_used_by_keyboard_and_on_small_screens(report):
  assert set(KEYBOARD) <= {*report["focus"]}
  assert report["ordered"]
  assert report["cleared"]
  assert max(report["overflow"].values()) <= 0
  faults = [fault for found in report["axe"].values() for fault in found]
  assert faults == []


def _table(path):
  with path.open(newline="", encoding="utf-8") as file:
    return {row["file"]: row for row in csv.DictReader(file)}


def test_masks_and_numbers_are_those_of_the_command(report, folder):
  output = folder / "command"
  _command(
    "launch.predict",
    f"--input={folder / 'films'}",
    f"--output={output}",
    status=3,  # one film cannot be used
  )
  found_in = folder / "found"
  with zipfile.ZipFile(folder / "predictions.zip") as archive:
    archive.extractall(found_in)
  assert _table(folder / "predictions.csv") == _table(
    found_in / "predictions.csv"
  )
  wanted, found = (
    _table(path / "predictions.csv") for path in (output, found_in)
  )
  assert {*found} == {*wanted}
  for name, row in wanted.items():
    scores = []
    for column, text in row.items():
      other = found[name][column]
      if column.endswith("_mask") and text:
        scores.append(_dice(output / text, found_in / other))
      elif _is_number(text):
        assert float(other) == pytest.approx(float(text), rel=0.005, abs=0.002)
      elif column != "reason" or row["status"] != "failed":
        assert other == text, f"{name}: {column}"
    seconds = report["seconds"][name]
    print(f"{name} {row['status']} {min(scores, default=1):.6f} {seconds:.1f}")
    assert min(scores, default=1) >= 0.99
  assert wanted["blank.png"]["status"] == "failed"
  assert "upside down" in found["turned.png"]["reason"]


def _dice(one, other):
  masks = [np.asarray(Image.open(path)) > 0 for path in (one, other)]
  total = sum(mask.sum() for mask in masks)
  return 2 * (masks[0] & masks[1]).sum() / total if total else 1.0


def _is_number(text):
  try:
    return np.isfinite(float(text))
  except ValueError:
    return False
