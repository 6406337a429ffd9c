"""The scripts of the page under Node, against this package and Pillow."""

import contextlib
import csv
import io
import json
import shutil
import subprocess
import zipfile
from importlib import resources

import numpy as np
import pytest
from fixtures import dicom_files, dicom_matrix
from fixtures.stub_member import StubMember
from PIL import Image, PngImagePlugin
from pydicom import uid

from apppau_jax import escapes
from apppau_jax.deploy import export, page_facts, page_writer
from apppau_jax.errors import DataError
from apppau_jax.imaging import decode, remarks, resample
from apppau_jax.imaging.film import Film
from apppau_jax.inference import overlay, prediction_table
from apppau_jax.inference.model import Model
from apppau_jax.inference.prediction_table import Columns
from apppau_jax.phantoms import make_phantom

SCRIPTS = resources.files("apppau_jax.deploy") / "page"
RULES = page_facts.rules()
NATIVE = ("implicit", "explicit")

pytestmark = [
  pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
  pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed"),
]


@pytest.fixture
def run(tmp_path):
  """Runs jobs under Node and returns their results."""

  def run(jobs):
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    runner = resources.files("tests.deploy") / "page_scripts.mjs"
    subprocess.run(
      ["node", "--no-warnings", runner, SCRIPTS, tmp_path], check=True
    )
    return json.loads((tmp_path / "results.json").read_text())

  return run


def _read(content, bits):
  """What this package reads, or None if it refuses to predict it."""
  try:
    film = decode.read_film(content, name="film", bits=bits)
  except DataError:
    return None
  return None if film.levels.min() == film.levels.max() else film


def _rgba(jpeg):
  with contextlib.suppress(OSError), Image.open(io.BytesIO(jpeg)) as image:
    return image.convert("RGBA").tobytes()
  return b""


@pytest.fixture
def compare(run, tmp_path):
  """Reads files by the page and by the package; returns what was refused.

  The page must show the same pixels, say the same, or refuse.
  """

  def compare(contents, *, bits=8):
    jobs = []
    for name, content in contents.items():
      (tmp_path / name).write_bytes(content)
      jobs.append({"kind": "film", "name": name, "bits": bits, "rules": RULES})
      if content[:2] == b"\xff\xd8":  # a browser decodes it
        jobs[-1]["rgba"] = f"{name}.rgba"
        (tmp_path / f"{name}.rgba").write_bytes(_rgba(content))
    refused = {}
    for (name, content), found in zip(contents.items(), run(jobs)):
      if "refused" in found:
        refused[name] = found["refused"]
        continue
      wanted = _read(content, bits)
      assert wanted is not None, f"{name} is read by the page alone"
      levels = np.fromfile(tmp_path / f"{name}.levels", f"uint{bits}")
      shape = found["height"], found["width"]
      np.testing.assert_array_equal(
        levels.reshape(shape), wanted.levels, err_msg=name
      )
      assert tuple(found["remarks"]) == wanted.remarks, name
      spacing = wanted.spacing and wanted.spacing._asdict()
      assert found["spacing"] == spacing, name
    return refused

  return compare


CASES = [case for case in dicom_matrix.cases() if case.syntax in NATIVE]


@pytest.mark.parametrize(
  ("cases", "bits"),
  [
    (CASES[::4], 8),
    pytest.param(CASES, 8, marks=pytest.mark.slow),
    pytest.param(CASES, 16, marks=pytest.mark.slow),
  ],
)
def test_dicom_has_the_pixels_of_the_python_reader(compare, cases, bits):
  """Bits, sign, polarity, rescaling, tables, windows and shapes."""
  contents = {str(case): dicom_matrix.make(case)[0] for case in cases}
  refused = compare(contents, bits=bits)
  assert {*refused} == {n for n, c in contents.items() if not _read(c, bits)}


def test_dicom_that_is_compressed_or_ambiguous_is_refused(compare):
  others = {case.syntax: case for case in dicom_matrix.cases()}
  matrix = {
    name: made[0]
    for name, case in others.items()
    if name not in NATIVE and (made := dicom_matrix.make(case))
  }
  ramp = dicom_files.RAMP
  whole = dicom_files.make()
  faults = {
    "frames": dicom_files.make(NumberOfFrames=2),
    "colour": dicom_files.make(PhotometricInterpretation="RGB"),
    "palette": dicom_files.make(PhotometricInterpretation="PALETTE COLOR"),
    "bits": dicom_files.make(BitsAllocated=32),
    "stored": dicom_files.make(BitsStored=17),
    "high": dicom_files.make(HighBit=16),
    "long": dicom_files.make(PixelData=ramp.tobytes() * 2),
    "short": dicom_files.make(PixelData=ramp.tobytes()[:-2]),
    "slope": dicom_files.make(RescaleSlope=0, RescaleIntercept=0),
    "window": dicom_files.make(WindowCenter=0, WindowWidth=0),
    "function": dicom_files.make(
      WindowCenter=9, WindowWidth=9, VOILUTFunction="CUBIC"
    ),
    "shape": dicom_files.make(PresentationLUTShape="OTHER"),
    "table": dicom_files.make(VOILUTSequence=dicom_files.table([])),
    "none": dicom_files.make(PixelData=None),
    "flat": dicom_files.make(np.full((8, 8), 7, np.uint16)),
    "cut": whole[: len(whole) // 2],
  }
  refused = compare(matrix | faults)
  assert {*refused} == {*matrix, *faults} - {"table"}
  assert "compressed" in refused["rle"]
  assert "2 frames" in refused["frames"]
  for name, reason in refused.items():
    assert "DOE" not in reason, name
    assert reason.endswith("."), name


def test_headers_say_what_the_python_reader_says(compare):
  elements = (
    {"ViewPosition": "LL"},
    {"ViewPosition": "PA"},
    {"PatientOrientation": ["R", "F"]},
    {"PatientOrientation": ["L", "F"]},
    {"PresentationLUTShape": "INVERSE"},
    {
      "PhotometricInterpretation": "MONOCHROME1",
      "PresentationLUTShape": "IDENTITY",
    },
    {"PixelSpacing": [20.5, 21]},
    {"PixelSpacing": [1, 1], "ImagerPixelSpacing": [30, 40]},
    {"PixelSpacing": [0, 1]},
    {"PixelPaddingValue": 4032, "PixelRepresentation": 0},
    {
      "PixelPaddingValue": 0,
      "PixelPaddingRangeLimit": 640,
      "PixelRepresentation": 0,
    },
  )
  contents = {
    f"{syntax.name}_{i}": dicom_files.make(syntax=syntax, **each)
    for syntax in (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
    for i, each in enumerate(elements)
  }
  signed = dicom_files.RAMP.astype(np.int16) - 2048
  contents["signed"] = dicom_files.make(signed, PixelPaddingValue=-2048)
  contents["no preamble"] = dicom_files.make()[132:]
  assert compare(contents) == {}


def _png(image, **options):
  file = io.BytesIO()
  image.save(file, "PNG", **options)
  return file.getvalue()


def _pictures():
  rng = np.random.default_rng(3)
  grey = rng.integers(0, 256, (23, 17)).astype(np.uint8)
  waves = np.add.outer(np.arange(64), np.arange(50)).astype(np.uint8)
  deep = rng.integers(300, 4096, (23, 17)).astype(np.uint16)
  alpha = np.full((23, 17), 255, np.uint8)
  hole = alpha.copy()
  hole[3, 4] = 0
  three = np.dstack([grey] * 3)
  palette = Image.fromarray(grey % 4, "P")
  palette.putpalette([v for v in (9, 80, 160, 250) for _ in range(3)])
  colours = palette.copy()
  colours.putpalette([9, 80, 160, 250] * 3)
  two = Image.fromarray(grey > 99).convert("1")
  return {
    "grey": _png(Image.fromarray(grey)),
    "waves": _png(Image.fromarray(waves)),
    "deep": _png(Image.fromarray(deep)),
    "rgb": _png(Image.fromarray(three)),
    "rgba": _png(Image.fromarray(np.dstack([three, alpha]))),
    "la": _png(Image.fromarray(np.dstack([grey, alpha]))),
    "palette": _png(palette),
    "palette of 2 bits": _png(palette, bits=2),
    "two": _png(two),
    "key that occurs not": _png(Image.fromarray(waves), transparency=255),
    "gamma": _with_chunk(_png(Image.fromarray(grey))),
    "hole": _png(Image.fromarray(np.dstack([three, hole]))),
    "key": _png(Image.fromarray(grey), transparency=int(grey[0, 0])),
    "clear palette": _png(palette, transparency=1),
    "colour": _png(Image.fromarray(np.dstack([grey, grey, alpha]))),
    "colour palette": _png(colours),
    "flat": _png(Image.fromarray(alpha)),
  }


REFUSED = ("hole", "key", "clear palette", "colour", "colour palette", "flat")


def _with_chunk(png):
  """Adds a gamma, which a browser's canvas would apply."""
  info = io.BytesIO()
  PngImagePlugin.putchunk(info, b"gAMA", (50000).to_bytes(4, "big"))
  return png[:33] + info.getvalue() + png[33:]


@pytest.mark.parametrize("bits", [8, 16])
def test_pictures_have_the_levels_of_the_python_reader(compare, bits):
  assert {*compare(_pictures(), bits=bits)} == {*REFUSED}


def test_damaged_pictures_are_refused(compare):
  png = _pictures()["grey"]
  flipped = bytearray(png)
  flipped[60] ^= 1
  jpeg = _jpeg(np.arange(64, dtype=np.uint8).reshape(8, 8))
  contents = {
    "cut": png[:-20],
    "flipped": bytes(flipped),
    "cut jpeg": jpeg[:-20],
    "jpeg without a frame": jpeg[:60],
    "text": b"no picture at all",
    "gif": b"GIF89a" + bytes(30),
  }
  assert {*compare(contents)} == {*contents}


def _jpeg(pixels, **options):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, "JPEG", **options)
  return file.getvalue()


def test_jpegs_are_checked_as_by_the_python_reader(compare):
  y, x = np.mgrid[:40, :30]
  grey = (2 * x + 3 * y).astype(np.uint8)
  turned = Image.Exif()
  turned[0x0112] = 6
  upright = Image.Exif()
  upright[0x0112] = 1
  contents = {
    "grey": _jpeg(grey),
    "progressive": _jpeg(grey, progressive=True),
    "rgb": _jpeg(np.dstack([grey] * 3)),
    "upright": _jpeg(grey, exif=upright),
    "turned": _jpeg(grey, exif=turned),
    "colour": _jpeg(np.dstack([grey, 255 - grey, grey])),
  }
  assert {*compare(contents)} == {"turned", "colour"}


STRUCTURES = ("left_lung", "right_lung", "heart")


def _model(phantom, *, structures, classes, bits=8, side=64):
  """A model whose probabilities are the phantom's masks, blurred and bumpy."""
  masks = [phantom.left_lung, phantom.right_lung, phantom.heart]
  if not structures:
    masks = [masks[0] | masks[1]]
  small = [
    resample.resize_area(m.astype(np.uint8) * 255, (side, side)) for m in masks
  ]
  noise = np.random.default_rng(5).uniform(-0.2, 0.2, (side, side, len(masks)))
  probs = np.clip(np.stack(small, axis=-1) / 255 + noise, 0.01, 0.99)
  logits = np.log(probs / (1 - probs)).astype(np.float32)[None]
  member = StubMember(
    lambda image: np.repeat(logits, len(image), axis=0),
    classifier=lambda image, mask: np.array([[0.3, 1.2, 9.0]] * len(image)),
  )
  return Model(
    [member],
    resolution=side,
    bits=bits,
    structures=structures,
    class_names=classes,
    threshold=0.45,
    largest_components=2 if not structures else 1,
  )


@pytest.mark.parametrize(
  ("structures", "classes", "bits", "turned"),
  [
    (STRUCTURES, ("normal", "tb"), 8, False),
    ((), (), 16, False),
    (STRUCTURES, (), 8, True),
  ],
)
def test_a_film_has_the_row_and_masks_of_the_command(
  run, tmp_path, structures, classes, bits, turned
):
  phantom = make_phantom(seed=3, index=1, size=(150, 131))
  model = _model(phantom, structures=structures, classes=classes, bits=bits)
  stored = phantom.image.astype(np.uint16) * 9 + 100
  if turned:
    stored = stored[::-1].copy()
  content = dicom_files.make(stored, PixelSpacing=[2.5, 2.25])
  source = tmp_path / "film.dcm"
  source.write_bytes(content)
  wanted = model.predict(source)
  film = decode.read_film(source, bits=bits)
  facts = page_facts.facts(export.facts(model))
  files = {name: f"film_{name}.png" for name in facts["mask_names"]}
  row = prediction_table.row_of(source.name, wanted, masks=[*files.values()])
  levels = model.read(source).levels
  probs = model._probabilities(levels[None, ..., None])[0]
  (tmp_path / "film.dcm").write_bytes(film.levels.tobytes())
  (tmp_path / "probs").write_bytes(probs.astype(np.float32).tobytes())
  class_probs = wanted.class_probability
  job = {
    "kind": "predict",
    "name": "film.dcm",
    "film": {
      "height": 150,
      "width": 131,
      "remarks": film.remarks,
      "spacing": film.spacing._asdict(),
    },
    "facts": facts,
    "probability": "probs",
    "classes": None if class_probs is None else class_probs.tolist(),
    "files": files,
    "longest": 100,
  }
  (found,) = run([job])
  small = np.fromfile(tmp_path / "film.dcm.small", f"uint{bits}")
  np.testing.assert_array_equal(small.reshape(64, 64), levels)
  with zipfile.ZipFile(tmp_path / "film.dcm.zip") as archive:
    assert archive.testzip() is None
    pngs = [archive.read(name) for name in files.values()]
  planes = np.moveaxis(np.atleast_3d(wanted.mask), -1, 0)
  for png, plane in zip(pngs, planes):
    with Image.open(io.BytesIO(png)) as image:
      assert image.mode == "L"
      np.testing.assert_array_equal(np.asarray(image), plane * 255)
  columns = Columns(structures=structures, class_names=classes)
  path = tmp_path / "wanted.csv"
  failed = prediction_table.Row("=film.dcm", "failed", 'is, "so"\n')
  prediction_table.write(path, [row, failed], columns=columns)
  assert found["csv"] == path.read_text()
  assert ("upside down" in found["csv"]) == turned
  small = resample.resize_area(
    decode.read_grey(content) if bits == 8 else film.levels,
    tuple(found["size"]),
  )
  grey = np.fromfile(tmp_path / "film.dcm.grey", np.uint8)
  np.testing.assert_allclose(grey, small.ravel() / (2**bits - 1) * 255, atol=1)


def _odd_images():
  y, x = np.mgrid[:140, :130]
  chest = make_phantom(seed=3, index=1, size=(140, 130)).image
  wave = (127 + 100 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)
  return {
    "usual": chest,
    "dull": 100 + chest // 5,
    "few levels": wave // 16 * 16,
    "black": np.where(y < 110, 0, wave).astype(np.uint8),
    "small": wave[:100, :90],
    "long": np.tile(wave, (3, 1)),
    "negative": 255 - chest,
    "upside down": chest[::-1],
    "both": 255 - chest[::-1],
  }


def test_unusual_images_get_the_remarks_of_the_package(run, tmp_path):
  facts = page_facts.facts({
    "resolution": 16, "bits": 8, "structures": [], "classes": [],
    "threshold": 0.5, "largest_components": 0,
  })  # fmt: skip
  (tmp_path / "none").write_bytes(bytes(16 * 16 * 4))  # no lung anywhere
  jobs, images = [], _odd_images()
  for name, image in images.items():
    (tmp_path / name).write_bytes(image.astype(np.uint8).tobytes())
    height, width = image.shape
    film = {"height": height, "width": width, "remarks": [], "spacing": None}
    jobs.append({
      "kind": "predict", "name": name, "film": film, "facts": facts,
      "probability": "none", "classes": None, "files": {"lungs": "mask.png"},
      "longest": 8,
    })  # fmt: skip
  for image, found in zip(images.values(), run(jobs)):
    reason = next(csv.DictReader(io.StringIO(found["csv"])))["reason"]
    wanted = remarks.on_image(Film(image.astype(np.uint8)))
    assert reason.startswith(" ".join([*wanted, "Lungs cover 0.0%"]))


def test_outlines_are_those_of_the_overlay(run, tmp_path):
  mask = make_phantom(seed=3, index=1, size=(90, 80)).left_lung.astype(bool)
  mask[:5, :7] = True  # at the border
  (tmp_path / "mask").write_bytes(mask.astype(np.uint8).tobytes())
  job = {"name": "mask", "height": 90, "width": 80, "thickness": 2}
  run([{"kind": "outline", **job}])
  rim, halo = (
    np.fromfile(tmp_path / f"mask.{end}", np.uint8).reshape(90, 80) > 0
    for end in ("rim", "halo")
  )
  drawn = overlay.outline(np.ones(mask.shape), mask[..., None])
  coloured = (drawn == overlay.colour(0)).all(axis=-1)
  dark = (drawn == 102).all(axis=-1)
  np.testing.assert_array_equal(rim, coloured)
  np.testing.assert_array_equal(halo, dark)


def test_formulas_and_controls_are_escaped_as_in_the_package(tmp_path):
  names = ["=1", " @a", "a\nb", "x\u202ey", "plain", "'=1", "\ttab"]
  code = (
    "import(process.argv[1]).then(({csv}) => console.log(JSON.stringify("
    "JSON.parse(process.argv[2]).map((file) => csv([{file, status: 'failed',"
    "reason: ''}], {groups: [['file'], [], ['status', 'reason']],"
    "facts: null}))))) "
  )
  done = subprocess.run(
    ["node", "-e", code, f"file://{SCRIPTS / 'table.js'}", json.dumps(names)],
    capture_output=True,
    check=True,
  )
  for name, text in zip(names, json.loads(done.stdout)):
    cell = [*csv.reader(io.StringIO(text))][1][0]
    assert cell == escapes.cell(escapes.one_line(name))


@pytest.mark.parametrize("modules", [page_writer.WORKER, page_writer.VIEW])
def test_joined_scripts_declare_no_name_twice(tmp_path, modules):
  path = tmp_path / "joined.js"
  path.write_text(page_writer.script(modules), encoding="utf-8")
  subprocess.run(["node", "--check", path], check=True)
