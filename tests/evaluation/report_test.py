import html.parser
import math
import os
import re

import numpy as np
import pytest

from apppau_jax.evaluation import classification, surface
from apppau_jax.evaluation import report as report_lib
from apppau_jax.evaluation.figures import Case
from apppau_jax.evaluation.metrics import segmentation_metrics

EVIL = '<script>alert("1")</script>&.png'
VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(html.parser.HTMLParser):
  """Collects tags, table cells and text; fails on tags that do not nest."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.rows, self.words, self._open = [], [], [], []
    self.feed(text)
    self.close()
    assert not self._open

  @property
  def text(self):
    return " ".join(" ".join(self.words).split())

  def attributes(self, tag):
    return [attributes for name, attributes in self.tags if name == tag]

  def row(self, label):
    (row,) = (r for r in self.rows if r[0].split(" · ")[0] == label)
    return row[1:]

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in VOID:
      self._open.append(tag)
    if tag == "tr":
      self.rows.append([])
    if tag in ("td", "th"):
      self.rows[-1].append("")

  def handle_startendtag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    if "style" in self._open:
      return
    self.words.append(data)
    if {"td", "th"} & set(self._open):
      # The explanation below a metric's name is told apart by a dot.
      joint = " · " if "span" in self._open and "th" in self._open else ""
      self.rows[-1][-1] = f"{self.rows[-1][-1]}{joint}{data}".strip()


def _diagnosis(names=("normal", "tb"), **changes):
  """Eight images of two classes, six of them named rightly."""
  probs = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.2, 0.2, 0.1])
  probs = np.column_stack([probs, 1 - probs])
  label = np.array([0, 0, 0, 0, 1, 1, 1, 1])
  block = classification.summarise(probs, label, class_names=names)
  block |= {"temperature": 1.75} | changes
  oracle = block | {"note": "Not a result.", "accuracy": 0.98765}
  return {"classification": block, "classification_oracle_mask": oracle}


def _report(**changes):
  rng = np.random.default_rng(0)
  per_image = []
  for i in range(5):
    mask = rng.random((16, 16)) < 0.5
    prediction = mask ^ (rng.random((16, 16)) < 0.1)
    per_image.append({"id": f"x{i}", **segmentation_metrics(prediction, mask)})
  for i, tb in enumerate((0.125, 0.75)):
    probs = {"normal": 1 - tb, "tb": tb}
    per_image[i] |= {"label": ("normal", "tb")[i], "probs": probs}
  names = [name for name in per_image[2] if name != "id"]
  # Values by position, so that a swapped row or column shows.
  segmentation = {
    name: {
      "mean": 0.5 + k / 100,
      "sd": 0.01 + k / 100,
      "ci95": [0.4 + k / 100, 0.6 + k / 100],
    }
    for k, name in enumerate(names)
  }
  return {
    "dataset": "montgomery",
    "split": "test",
    "n": 5,
    "checkpoint_step": 1740,
    "seed": 3,
    "threshold": 0.5,
    "parameters": {"segmentor": 7912345},
    "segmentation": segmentation,
    "paper_compat": {"js_pixel_accuracy": 0.98765, "hausdorff_rows": 3.25},
    **_diagnosis(),
    "per_image": per_image,
    "notes": ["largest-component clean-up on"],
  } | changes


def _case(kind, /, **changes):
  rng = np.random.default_rng(1)
  prob = rng.random((32, 32))
  return Case(
    **{
      "id": f"{kind}.png",
      "kind": kind,
      "metrics": {"dice": 0.87654, "hausdorff95": 2.25},
      "image": rng.random((32, 32)),
      "mask": prob > 0.4,
      "prob": prob,
      "side_probs": [prob[::4, ::4], prob],
      "attention": {"D1": 0.25 + prob / 2, "D2": prob[::2, ::2]},
    }
    | changes
  )


HISTORY = [
  {"kind": "train", "step": 1, "loss": 0.5, "learning_rate": 1e-3},
  {"kind": "train", "step": 2, "loss": 0.4, "learning_rate": 1e-3},
  {"kind": "validation", "step": 2, "epoch": 1, "dice": 0.9, "loss": 0.3},
]
KINDS = ("best", "median", "worst")


def _write(folder, *, name="report.html", **changes):
  """The text of a page without curves, pictures and list of images."""
  report_lib.write_report(
    folder / name,
    **{
      "report": _report(per_image=[]),
      "history": [],
      "cases": [],
      "config": {},
      "environment": {},
    }
    | changes,
  )
  return (folder / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
  """A page with everything."""
  return _write(
    tmp_path_factory.mktemp("full"),
    report=_report(),
    history=HISTORY,
    cases=[_case(kind) for kind in KINDS],
    config={"seed": 3, "model": {"preset": "apppau"}},
    environment={
      "jax": "0.10.2",
      "device": {"count": 8},
      "minutes": 6.5,
      "command": "python -m x --a=1",
    },
  )


@pytest.fixture(scope="module")
def page(text):
  return Page(text)


def test_every_metric_with_its_numbers_unit_and_direction(page):
  high, low = "↑ higher", "↓ lower"
  assert page.row("Dice") == [high, "0.5000± 0.0100", "[0.4000, 0.6000]"]
  assert page.row("HD95 (px)") == [low, "0.55± 0.06", "[0.45, 0.65]"]
  assert page.row("Specificity") == [high, "0.5900± 0.1000", "[0.4900, 0.6900]"]
  expected = list(segmentation_metrics(np.eye(16) > 0, np.eye(16) > 0))
  assert list(report_lib.METRICS) == expected
  for name, metric in report_lib.METRICS.items():
    distance = name in surface.DISTANCES
    label = f"{metric.label} (px)" if distance else metric.label
    assert page.row(label)[0] == (low if distance else high)
    assert metric.meaning in page.text


def test_summary_in_words(page, tmp_path):
  assert (
    "The segmentor (7,912,345 parameters), trained with seed 3 and taken at"
    " step 1,740, outlined the lungs in 5 chest X-rays of the test split of"
    " montgomery. Per image it reached a lung Dice of 0.5000 ± 0.0100 (mean ±"
    " standard deviation; 95 % confidence interval of the mean [0.4000,"
    " 0.6000])." in page.text
  )
  assert "not for clinical use" in page.text
  assert "largest-component clean-up on" in page.text
  assert "flatter" not in page.text


def test_validation_numbers_flatter_only_a_checkpoint_chosen_by_them(tmp_path):
  report = _report(split="validation", model="APPAU-Net", per_image=[])
  pages = {
    checkpoint: Page(
      _write(tmp_path, report=report | {"checkpoint": checkpoint})
    ).text
    for checkpoint in ("best", "latest")
  }
  assert "flatter" in pages["best"]
  assert "flatter" not in pages["latest"]
  assert "APPAU-Net (7,912,345 parameters)" in pages["best"]


def test_nothing_is_loaded_linked_or_run(text, page):
  links = [
    value
    for _, attributes in page.tags
    for name, value in attributes.items()
    if name.split(":")[-1] in ("src", "href", "srcset", "action", "data")
  ]
  assert len(links) == 3 * 3 + 2 * 4 + 1
  assert all(link.startswith("data:image/png;base64,") for link in links)
  assert not re.search(r"https?:|@import|javascript:|url\((?!#)", text)
  tags = {tag for tag, _ in page.tags}
  assert not tags & {"script", "iframe", "object", "link", "base", "form"}
  assert not any(n.startswith("on") for _, a in page.tags for n in a)
  policy = page.attributes("meta")[1]
  assert policy["http-equiv"] == "Content-Security-Policy"
  assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_pictures_have_descriptions_and_the_page_a_language(page):
  assert page.attributes("html") == [{"lang": "en"}]
  assert all(image["alt"] for image in page.attributes("img"))
  assert len(page.attributes("svg")) == 6
  assert all(svg["aria-label"] for svg in page.attributes("svg"))
  assert len(page.attributes("main")) == len(page.attributes("h1")) == 1


def test_names_and_notes_cannot_become_markup(tmp_path):
  (row, *_) = _report()["per_image"]
  evil = {EVIL: EVIL}
  other = f"{EVIL}$x^"
  seen = {"label": EVIL, "probs": {EVIL: 0.75, other: 0.25}}
  healthy = {"label": other, "probs": {EVIL: 0.25, other: 0.75}}
  text = _write(
    tmp_path,
    report=_report(
      per_image=[row | {"id": EVIL} | seen, row | {"id": "y"} | healthy],
      notes=[EVIL],
      dataset=EVIL,
      model=EVIL,
      paper_compat=evil,
      **_diagnosis(names=(EVIL, other)),
    ),
    cases=[_case("worst", id=EVIL, kind=EVIL, attention={EVIL: np.eye(4)})],
    config=evil,
    environment=evil | {"command": EVIL},
  )
  assert "<script" not in text
  page = Page(text)
  assert page.row(f"F1 of {EVIL}")  # the name is shown as it is
  listed = [r for r in page.rows if r[0] == EVIL]
  assert listed[-1][-1] == f"{EVIL} (0.7500)"
  assert f"Solid: {other}, area 1.0000" in page.text
  (roc,) = (
    x["aria-label"]
    for x in page.attributes("svg")
    if x["aria-label"].startswith("ROC")
  )
  assert other in roc
  assert page.attributes("img")[0]["alt"].endswith(f"outlines on {EVIL}")
  assert f"{EVIL}: {row['dice']:.4f}" in page.text  # a tick of the histogram


def test_images_are_listed_worst_first(tmp_path):
  (row, *_) = _report()["per_image"]
  dice = {"a": 0.9, "b": 0.2, "c": math.nan, "d": 0.5, "e": 0.2}
  rows = [row | {"id": name, "dice": value} for name, value in dice.items()]
  page = Page(_write(tmp_path, report=_report(per_image=rows)))
  listed = [r for r in page.rows if r[0] in dice]
  assert [r[0] for r in listed] == ["c", "b", "e", "d", "a"]
  assert [r[1] for r in listed][:2] == ["undefined", "0.2000"]
  (head,) = (r for r in page.rows if r[0] == "Image")
  assert head[6] == "HD95 (px)"
  assert listed[0][6] == f"{row['hausdorff95']:.2f}"


@pytest.mark.parametrize(
  ("value", "unit", "text"),
  [
    (0.97126, "", "0.9713"),
    (3.14159, "px", "3.14"),
    (np.float32(0.5), "", "0.5000"),
    (1234567, "", "1,234,567"),
    (True, "", "True"),
    (math.nan, "", "undefined"),
    (math.inf, "px", "infinite"),
    (-np.inf, "px", "−infinite"),
    (None, "", "–"),
    ("0.93 (n = 3)", "", "0.93 (n = 3)"),
  ],
)
def test_number(value, unit, text):
  assert report_lib.number(value, unit) == text


def test_values_that_are_not_finite_are_words(tmp_path):
  report = _report(
    segmentation={
      "dice": {"mean": math.nan, "sd": math.inf, "ci95": [math.nan, None]},
      "assd": {"mean": math.inf, "sd": 0.0, "ci95": []},
    },
    per_image=[{"id": "a", "dice": None, "assd": math.inf}],
  )
  page = Page(_write(tmp_path, report=report))
  assert page.row("Dice")[1:] == ["undefined± infinite", "[undefined, –]"]
  assert page.row("ASSD (px)")[1:] == ["infinite± 0.00", "–"]
  assert page.row("a") == ["–", "infinite", "–"]


def test_bare_evaluation_has_a_page_without_empty_sections(page, tmp_path):
  keys = ("dataset", "split", "n", "checkpoint_step", "seed", "threshold")
  bare = Page(_write(tmp_path, report={k: _report()[k] for k in keys}))
  assert not bare.attributes("img")
  assert not bare.attributes("svg")
  heading = (
    "Results",
    "Training",
    "Inside",
    "Every image",
    "paper’s",
    "Diagnosis",
  )
  for title in heading:
    assert title not in bare.text
    assert title in page.text


def test_cases_without_maps_show_no_inside_of_the_network(tmp_path):
  plain = [_case("median", side_probs=[], attention={})]
  page = Page(_write(tmp_path, cases=plain))
  assert "Inside the network" not in page.text
  assert len(page.attributes("img")) == 3
  assert "Dice 0.8765 · HD95 2.25 px" in page.text


def test_maps_of_median_and_worst_from_coarse_to_fine(page):
  alts = [image["alt"] for image in page.attributes("img")]
  d1, d2 = (_case("worst").attention[name] for name in ("D1", "D2"))
  assert [alt for alt in alts if "worst" in alt][3:] == [
    "Side output of 8 × 8 pixels on worst.png",
    "Side output of 32 × 32 pixels on worst.png",
    f"Attention D2: {d2.min():.2f} to {d2.max():.2f} on worst.png",
    f"Attention D1: {d1.min():.2f} to {d1.max():.2f} on worst.png",
  ]
  assert len([alt for alt in alts if "median" in alt]) == 7
  assert len([alt for alt in alts if "best" in alt]) == 3


def test_attention_is_stretched_over_its_own_range(tmp_path):
  unit = np.array([[0.0, 0.25], [0.5, 1.0]])
  maps = {"D1": unit, "D2": 0.25 + unit / 2, "D3": np.full((2, 2), 0.5)}
  page = Page(_write(tmp_path, cases=[_case("worst", attention=maps)]))
  d3, d2, d1 = [image["src"] for image in page.attributes("img")][-3:]
  assert d2 == d1 != d3
  assert "D2: 0.25 to 0.75" in page.text
  assert "D3: 0.50 to 0.50" in page.text


def test_overlay_shows_the_scored_mask_where_there_is_one(tmp_path):
  def overlay(**changes):
    page = Page(_write(tmp_path, cases=[_case("worst", **changes)]))
    return page.attributes("img")[0]["src"]

  prob = _case("worst").prob
  assert overlay() == overlay(prediction=prob >= 0.5)
  assert overlay() != overlay(prediction=prob >= 0.9)


def test_paper_units_stand_apart_with_a_warning(page):
  assert not [row for row in page.rows if "js_pixel_accuracy" in row[0]]
  warning, value = "paper’s “JS” is pixel accuracy", "js_pixel_accuracy 0.9877"
  assert 0 < page.text.index(warning) < page.text.index(value)


def test_config_environment_and_command(page):
  assert (
    "python -m x --a=1 jax 0.10.2 device.count 8 minutes 6.5 Configuration"
    ' { "model": { "preset": "apppau" }, "seed": 3 }' in page.text
  )


def test_diagnosis_beside_what_the_majority_answer_reaches(page):
  block = _diagnosis()["classification"]
  low, high = block["ci95"]["accuracy"]
  interval = f"[{low:.4f}, {high:.4f}]"
  assert page.row("Accuracy") == ["↑ higher", "0.7500", interval, "0.5000"]
  # Ties of size go to the first class: F1 2 / 3 and 0 by always naming it.
  assert page.row("F1 of normal")[-1] == "0.6667"
  assert page.row("F1 of tb")[-1] == "0.0000"
  assert page.row("Macro F1")[-1] == "0.3333"
  # 14 of the 16 pairs of images are in the right order.
  assert page.row("AUROC")[1::2] == ["0.8750", "0.5000"]
  assert page.row("Brier")[::3] == ["↓ lower", "–"]
  assert "Temperature 1.7500, fitted on validation images" in page.text
  assert "end of the allowed range" not in page.text


def test_confusion_matrix_is_a_table_with_named_rows_and_columns(page):
  assert ["True", "named normal", "named tb"] in page.rows
  rows = [r for r in page.rows if r[0] in ("normal", "tb")]
  assert rows == [["normal", "375 %", "125 %"], ["tb", "125 %", "375 %"]]
  scopes = [x.get("scope") for x in page.attributes("th")]
  assert set(scopes) == {"row", "col"}


def test_the_oracle_mask_stands_apart_with_its_warning(page):
  assert "Oracle mask. Not a result. Accuracy 0.9877, balanced" in page.text
  assert not [row for row in page.rows if "0.9877" in " ".join(row)]


def test_images_are_listed_with_their_class_where_known(page):
  (head,) = (r for r in page.rows if r[0] == "Image")
  assert head[-1] == "Class (probability of it)"
  assert page.row("x0")[-1] == "normal (0.8750)"
  assert page.row("x1")[-1] == "tb (0.7500)"
  assert page.row("x2")[-1] == "–"


def test_undefined_and_extreme_diagnoses_are_explained(tmp_path):
  block = classification.summarise(
    [[0.9, 0.1], [0.4, 0.6]], [0, 0], class_names=["normal", "tb"]
  )
  report = _report(
    per_image=[],
    split="validation",
    classification=block | {"temperature": classification.TEMPERATURES[0]},
    classification_oracle_mask=None,
  )
  page = Page(_write(tmp_path, report=report))
  assert page.row("AUROC")[1:3] == ["–", "–"]
  assert "balanced accuracy (no image of class tb)," in page.text
  assert "end of the allowed range" in page.text
  assert "these very images" in page.text
  assert "Oracle" not in page.text
  assert ["tb", "0–", "0–"] in page.rows


def test_equal_arguments_give_equal_bytes_and_a_small_file(tmp_path):
  rng = np.random.default_rng(2)
  prob, image = rng.random((2, 128, 128))  # noise: the worst to compress
  arrays = {"image": image, "prob": prob, "mask": prob > 0.4}
  content = {
    "report": _report(),
    "history": HISTORY,
    "cases": [_case(kind, **arrays) for kind in KINDS],
  }
  first = _write(tmp_path, **content)
  assert first == _write(tmp_path, name="again.html", **content)
  assert len(first.encode()) < 3_000_000


def test_a_failed_write_keeps_the_old_page(tmp_path, monkeypatch):
  before = _write(tmp_path)

  def full(descriptor):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", full)
  with pytest.raises(OSError, match="No space"):
    _write(tmp_path, config={"seed": 4})
  assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
  assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_structures_and_sets_have_tables_of_their_own(tmp_path):
  part = _report()["segmentation"]
  of_classes = {
    "n": 2,
    "class_names": ["normal", "tb"],
    "accuracy": 0.25,
    "majority_accuracy": 0.625,
    "auroc": None,
    "ci95": {"accuracy": [0.125, 0.375], "auroc": None},
  }
  source_only = {"accuracy": 0.5625, "auroc": 0.75, "f1": {"tb": 0.375}}
  diagnosis = _diagnosis()
  diagnosis["classification"]["source_only"] = source_only
  mask = np.random.default_rng(2).random((32, 32, 2)) > 0.4
  page = Page(
    _write(
      tmp_path,
      report=_report(
        per_image=[],
        structures={"left_lung": part, "heart": part},
        by_source={
          "jsrt": {"n": 3, "segmentation": part, "classification": of_classes},
          "shenzhen": {"n": 2, "segmentation": part},
        },
        **diagnosis,
      ),
      cases=[
        _case(
          "worst",
          mask=mask,
          prob=mask * 0.9,
          side_probs=[mask[::2, ::2] * 0.5],
          structures=("left_lung", "heart"),
        )
      ],
    )
  )
  numbers = ["0.5000± 0.0100", "0.5100± 0.0200", "0.55± 0.06", "0.57± 0.08"]
  assert page.row("heart") == numbers
  assert page.row("shenzhen") == ["2", *numbers]
  apart = [r for r in page.rows if r[0] == "jsrt"]
  assert apart == [
    ["jsrt", "3", *numbers],
    ["jsrt", "normal, tb", "0.2500", "[0.1250, 0.3750]", "0.6250", "–", "–"],
  ]
  assert page.row("Accuracy")[-2:] == ["0.5000", "0.5625"]  # majority, source
  assert page.row("F1 of tb")[-1] == "0.3750"
  assert page.row("ECE")[-1] == "–"
  assert "outlined left lung, heart in 5 chest X-rays" in page.text
  assert "heart: outlined as predicted, tinted as in the reference" in page.text
  assert "reference outline; tinted" not in page.text
