"""The page of one evaluation: its numbers, names and safety."""

import math
import os

import numpy as np
import pytest

from apppau_jax.metrics import surface
from apppau_jax.metrics.masks import segmentation_metrics
from apppau_jax.reports import metric_names

EVIL = '<script>alert("1")</script>&.png'


def test_every_metric_with_its_numbers_unit_and_direction(report_page):
  high, low = "↑ higher", "↓ lower"
  assert report_page.row("Dice") == [high, "0.5000± 0.0100", "[0.4000, 0.6000]"]
  assert report_page.row("HD95 (px)") == [low, "0.55± 0.06", "[0.45, 0.65]"]
  expected = list(segmentation_metrics(np.eye(16) > 0, np.eye(16) > 0))
  assert list(metric_names.SEGMENTATION) == expected
  for name, metric in metric_names.SEGMENTATION.items():
    distance = name in surface.DISTANCES
    label = f"{metric.label} (px)" if distance else metric.label
    assert report_page.row(label)[0] == (low if distance else high)
    assert metric.meaning in report_page.text


def test_the_summary_names_model_data_and_dice(report_page):
  summary = report_page.text.partition("Results")[0]
  for words in (
    "7,912,345 parameters",
    "seed 3",
    "step 1,740",
    "5 chest radiographs",
    "test part of montgomery",
    "Dice is 0.5000 ± 0.0100",
    "[0.4000, 0.6000]",
    "not for clinical use",
    "largest-component clean-up on",
  ):
    assert words in summary
  assert "optimistic" not in summary


@pytest.mark.parametrize(
  ("checkpoint", "optimistic"), [("best", True), ("latest", False)]
)
def test_validation_is_optimistic_for_a_checkpoint_it_selected(
  reports, tmp_path, checkpoint, optimistic
):
  report = reports.report(
    split="validation", model="ppau_unet", per_image=[], checkpoint=checkpoint,
    **dict.fromkeys(("classification", "classification_oracle_mask")),
  )  # fmt: skip
  page = reports.page(reports.write(tmp_path, report=report))
  assert ("optimistic" in page.text) == optimistic
  assert "PPAU-Net" in page.text


def test_nothing_is_loaded_linked_or_run(report_text, report_page):
  attributes = [
    (name.split(":")[-1], value)
    for _, of_tag in report_page.tags
    for name, value in of_tag.items()
  ]
  links = [
    value
    for name, value in attributes
    if name in ("src", "href", "srcset", "action", "data")
  ]
  assert len(links) == 3 * 3 + 2 * 4 + 1
  assert all(link.startswith("data:image/png;base64,") for link in links)
  assert not any(name.startswith("on") for name, _ in attributes)
  for word in ("http:", "https:", "@import", "javascript:"):
    assert word not in report_text
  tags = {tag for tag, _ in report_page.tags}
  assert not tags & {"script", "iframe", "object", "link", "base", "form"}
  policy = report_page.attributes("meta")[1]
  assert policy["http-equiv"] == "Content-Security-Policy"
  assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_names_and_notes_cannot_become_markup(reports, tmp_path):
  (row, *_) = reports.report()["per_image"]
  evil, other = {EVIL: EVIL}, f"{EVIL}$x^"
  first = {"label": EVIL, "probs": {EVIL: 0.75, other: 0.25}}
  second = {"label": other, "probs": {EVIL: 0.25, other: 0.75}}
  text = reports.write(
    tmp_path,
    report=reports.report(
      per_image=[row | {"id": EVIL} | first, row | {"id": "y"} | second],
      notes=[EVIL],
      dataset=EVIL,
      model=EVIL,
      paper_compat=evil,
      **reports.classification(names=(EVIL, other)),
    ),
    cases=[
      reports.case("worst", id=EVIL, kind=EVIL, attention={EVIL: np.eye(4)})
    ],
    config=evil,
    environment=evil | {"command": EVIL},
  )
  assert "<script" not in text
  page = reports.page(text)
  assert page.row(f"F1 of {EVIL}")  # the name is shown as it is
  listed = [r for r in page.rows if r[0] == EVIL]
  assert listed[-1][-3:] == [EVIL, EVIL, "0.7500"]
  assert f"{other}, area 1.0000" in page.text
  labels = [svg["aria-label"] for svg in page.attributes("svg")]
  assert [label for label in labels if other in label]
  assert page.attributes("img")[0]["alt"].endswith(EVIL)
  assert f"{EVIL}: {row['dice']:.4f}" in page.text  # a tick of the histogram


def test_images_are_listed_lowest_first(reports, tmp_path):
  (row, *_) = reports.report()["per_image"]
  dice = {"a": 0.9, "b": 0.2, "c": math.nan, "d": 0.5, "e": 0.2}
  rows = [row | {"id": name, "dice": value} for name, value in dice.items()]
  report = reports.report(per_image=rows)
  page = reports.page(reports.write(tmp_path, report=report))
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
  assert metric_names.number(value, unit) == text


def test_values_that_are_not_finite_are_words(reports, tmp_path):
  report = reports.report(
    segmentation={
      "dice": {"mean": math.nan, "sd": math.inf, "ci95": [math.nan, None]},
      "assd": {"mean": math.inf, "sd": 0.0, "ci95": []},
    },
    per_image=[{"id": "a", "dice": None, "assd": math.inf}],
  )
  page = reports.page(reports.write(tmp_path, report=report))
  assert page.row("Dice")[1:] == ["undefined± infinite", "[undefined, –]"]
  assert page.row("ASSD (px)")[1:] == ["infinite± 0.00", "–"]
  assert page.row("a") == ["–", "infinite", "–", "–", "–"]


def test_a_bare_evaluation_has_no_empty_sections(
  reports, report_page, tmp_path
):
  keys = ("dataset", "split", "n", "checkpoint_step", "seed", "threshold")
  report = {k: reports.report()[k] for k in keys}
  bare = reports.page(reports.write(tmp_path, report=report))
  assert not bare.attributes("img")
  assert not bare.attributes("svg")
  for title in (
    *("Results", "Training", "Inside the network"),
    *("Every image", "paper’s units", "Classification"),
  ):
    assert title not in bare.text
    assert title in report_page.text


def test_paper_units_stand_apart(report_page):
  assert not [row for row in report_page.rows if "pixel accuracy" in row[0]]
  section = report_page.text.partition("paper’s units")[2]
  assert "JS: pixel accuracy a 0.9877" in section


def test_config_environment_and_command(report_page):
  section = report_page.text.partition("Environment and configuration")[2]
  for words in (
    "python -m x --a=1",
    "jax 0.10.2",
    "device.count 8",
    '"preset": "apppau"',
  ):
    assert words in section


def test_equal_arguments_give_equal_bytes_and_a_small_file(reports, tmp_path):
  rng = np.random.default_rng(2)
  prob, image = rng.random((2, 128, 128))  # noise: the worst to compress
  arrays = {"image": image, "prob": prob, "mask": prob > 0.4}
  content = {
    "report": reports.report(),
    "history": reports.history,
    "cases": [reports.case("worst", **arrays)],
  }
  first = reports.write(tmp_path, **content)
  assert first == reports.write(tmp_path, name="again.html", **content)
  assert len(first.encode()) < 1_000_000


def test_a_failed_write_keeps_the_old_page(reports, tmp_path, monkeypatch):
  before = reports.write(tmp_path)

  def full(descriptor):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", full)
  with pytest.raises(OSError, match="No space"):
    reports.write(tmp_path, config={"seed": 4})
  assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
  assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_structures_and_data_sets_have_tables_of_their_own(reports, tmp_path):
  part = reports.report()["segmentation"]
  of_classes = {
    "n": 2,
    "class_names": ["normal", "tb"],
    "accuracy": 0.25,
    "majority_accuracy": 0.625,
    "auroc": None,
    "ci95": {"accuracy": [0.125, 0.375], "auroc": None},
  }
  blocks = reports.classification()
  source_only = {"accuracy": 0.5625, "auroc": 0.75, "f1": {"tb": 0.375}}
  blocks["classification"]["source_only"] = source_only
  mask = np.random.default_rng(2).random((32, 32, 2)) > 0.4
  case = reports.case(
    "worst",
    mask=mask,
    prob=mask * 0.9,
    side_probs=[mask[::2, ::2] * 0.5],
    structures=("left_lung", "heart"),
  )
  report = reports.report(
    per_image=[],
    structures={"left_lung": part, "heart": part},
    by_source={
      "jsrt": {"n": 3, "segmentation": part, "classification": of_classes},
      "shenzhen": {"n": 2, "segmentation": part},
    },
    **blocks,
  )
  page = reports.page(reports.write(tmp_path, report=report, cases=[case]))
  numbers = ["0.5000± 0.0100", "0.5100± 0.0200", "0.55± 0.06", "0.57± 0.08"]
  assert page.row("heart") == numbers
  assert page.row("shenzhen") == ["2", *numbers]
  assert [r for r in page.rows if r[0] == "jsrt"] == [
    ["jsrt", "3", *numbers],
    ["jsrt", "normal, tb", "0.2500", "[0.1250, 0.3750]", "0.6250", "–", "–"],
  ]
  assert page.row("Accuracy")[-2:] == ["0.5000", "0.5625"]  # majority, source
  assert page.row("F1 of tb")[-1] == "0.3750"
  assert page.row("ECE")[-1] == "–"
  assert "left lung, heart in 5 chest radiographs" in page.text
  assert "missed lung" not in page.text
