"""The page of one evaluation: its numbers, words and safety."""

import math
import os
import re

import numpy as np
import pytest

from apppau_jax.metrics import surface
from apppau_jax.metrics.masks import segmentation_metrics
from apppau_jax.reports import report as report_lib

EVIL = '<script>alert("1")</script>&.png'


def test_every_metric_with_its_numbers_unit_and_direction(report_page):
  high, low = "↑ higher", "↓ lower"
  assert report_page.row("Dice") == [high, "0.5000± 0.0100", "[0.4000, 0.6000]"]
  assert report_page.row("HD95 (px)") == [low, "0.55± 0.06", "[0.45, 0.65]"]
  assert report_page.row("Specificity") == [
    high,
    "0.5900± 0.1000",
    "[0.4900, 0.6900]",
  ]
  expected = list(segmentation_metrics(np.eye(16) > 0, np.eye(16) > 0))
  assert list(report_lib.METRICS) == expected
  for name, metric in report_lib.METRICS.items():
    distance = name in surface.DISTANCES
    label = f"{metric.label} (px)" if distance else metric.label
    assert report_page.row(label)[0] == (low if distance else high)
    assert metric.meaning in report_page.text


def test_summary_in_words(report_page, tmp_path):
  assert (
    "The segmentor (7,912,345 parameters), trained with seed 3 and taken at"
    " step 1,740, outlined the lungs in 5 chest X-rays of the test split of"
    " montgomery. Per image it reached a lung Dice of 0.5000 ± 0.0100 (mean ±"
    " standard deviation; 95 % confidence interval of the mean [0.4000,"
    " 0.6000])." in report_page.text
  )
  assert "not for clinical use" in report_page.text
  assert "largest-component clean-up on" in report_page.text
  assert "flatter" not in report_page.text


def test_validation_numbers_flatter_only_a_checkpoint_chosen_by_them(
  reports, tmp_path
):
  report = reports.report(split="validation", model="ppau_unet", per_image=[])
  pages = {
    checkpoint: reports.page(
      reports.write(tmp_path, report=report | {"checkpoint": checkpoint})
    ).text
    for checkpoint in ("best", "latest")
  }
  assert "flatter" in pages["best"]
  assert "flatter" not in pages["latest"]
  assert "PPAU-Net (7,912,345 parameters)" in pages["best"]


def test_nothing_is_loaded_linked_or_run(report_text, report_page):
  links = [
    value
    for _, attributes in report_page.tags
    for name, value in attributes.items()
    if name.split(":")[-1] in ("src", "href", "srcset", "action", "data")
  ]
  assert len(links) == 3 * 3 + 2 * 4 + 1
  assert all(link.startswith("data:image/png;base64,") for link in links)
  assert not re.search(r"https?:|@import|javascript:|url\((?!#)", report_text)
  tags = {tag for tag, _ in report_page.tags}
  assert not tags & {"script", "iframe", "object", "link", "base", "form"}
  assert not any(n.startswith("on") for _, a in report_page.tags for n in a)
  policy = report_page.attributes("meta")[1]
  assert policy["http-equiv"] == "Content-Security-Policy"
  assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_names_and_notes_cannot_become_markup(reports, tmp_path):
  (row, *_) = reports.report()["per_image"]
  evil = {EVIL: EVIL}
  other = f"{EVIL}$x^"
  seen = {"label": EVIL, "probs": {EVIL: 0.75, other: 0.25}}
  healthy = {"label": other, "probs": {EVIL: 0.25, other: 0.75}}
  text = reports.write(
    tmp_path,
    report=reports.report(
      per_image=[row | {"id": EVIL} | seen, row | {"id": "y"} | healthy],
      notes=[EVIL],
      dataset=EVIL,
      model=EVIL,
      paper_compat=evil,
      **reports.diagnosis(names=(EVIL, other)),
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


def test_images_are_listed_worst_first(reports, tmp_path):
  (row, *_) = reports.report()["per_image"]
  dice = {"a": 0.9, "b": 0.2, "c": math.nan, "d": 0.5, "e": 0.2}
  rows = [row | {"id": name, "dice": value} for name, value in dice.items()]
  page = reports.page(
    reports.write(tmp_path, report=reports.report(per_image=rows))
  )
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
  assert page.row("a") == ["–", "infinite", "–"]


def test_bare_evaluation_has_a_page_without_empty_sections(
  reports, report_page, tmp_path
):
  keys = ("dataset", "split", "n", "checkpoint_step", "seed", "threshold")
  bare = reports.page(
    reports.write(tmp_path, report={k: reports.report()[k] for k in keys})
  )
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
    assert title in report_page.text


def test_paper_units_stand_apart_with_a_warning(report_page):
  assert not [row for row in report_page.rows if "js_pixel_accuracy" in row[0]]
  warning, value = "paper’s “JS” is pixel accuracy", "js_pixel_accuracy 0.9877"
  assert 0 < report_page.text.index(warning) < report_page.text.index(value)


def test_config_environment_and_command(report_page):
  assert (
    "python -m x --a=1 jax 0.10.2 device.count 8 minutes 6.5 Configuration"
    ' { "model": { "preset": "apppau" }, "seed": 3 }' in report_page.text
  )


def test_equal_arguments_give_equal_bytes_and_a_small_file(reports, tmp_path):
  rng = np.random.default_rng(2)
  prob, image = rng.random((2, 128, 128))  # noise: the worst to compress
  arrays = {"image": image, "prob": prob, "mask": prob > 0.4}
  content = {
    "report": reports.report(),
    "history": reports.history,
    "cases": [reports.case(kind, **arrays) for kind in reports.kinds],
  }
  first = reports.write(tmp_path, **content)
  assert first == reports.write(tmp_path, name="again.html", **content)
  assert len(first.encode()) < 3_000_000


def test_a_failed_write_keeps_the_old_page(reports, tmp_path, monkeypatch):
  before = reports.write(tmp_path)

  def full(descriptor):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", full)
  with pytest.raises(OSError, match="No space"):
    reports.write(tmp_path, config={"seed": 4})
  assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
  assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_structures_and_sets_have_tables_of_their_own(reports, tmp_path):
  part = reports.report()["segmentation"]
  of_classes = {
    "n": 2,
    "class_names": ["normal", "tb"],
    "accuracy": 0.25,
    "majority_accuracy": 0.625,
    "auroc": None,
    "ci95": {"accuracy": [0.125, 0.375], "auroc": None},
  }
  source_only = {"accuracy": 0.5625, "auroc": 0.75, "f1": {"tb": 0.375}}
  diagnosis = reports.diagnosis()
  diagnosis["classification"]["source_only"] = source_only
  mask = np.random.default_rng(2).random((32, 32, 2)) > 0.4
  page = reports.page(
    reports.write(
      tmp_path,
      report=reports.report(
        per_image=[],
        structures={"left_lung": part, "heart": part},
        by_source={
          "jsrt": {"n": 3, "segmentation": part, "classification": of_classes},
          "shenzhen": {"n": 2, "segmentation": part},
        },
        **diagnosis,
      ),
      cases=[
        reports.case(
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
