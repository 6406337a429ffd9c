"""Finished runs as a table sees them, and pages of reports."""

import html.parser

import numpy as np
import pytest

from apppau_jax.evaluation import classification
from apppau_jax.evaluation import report as report_lib
from apppau_jax.evaluation.comparisons import Run
from apppau_jax.evaluation.figures import Case
from apppau_jax.evaluation.metrics import segmentation_metrics

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


class Reports:
  """Builds reports and their pages, and reads those."""

  history = (
    {"kind": "train", "step": 1, "loss": 0.5, "learning_rate": 1e-3},
    {"kind": "train", "step": 2, "loss": 0.4, "learning_rate": 1e-3},
    {"kind": "validation", "step": 2, "epoch": 1, "dice": 0.9, "loss": 0.3},
  )
  kinds = ("best", "median", "worst")
  page = Page

  def diagnosis(self, names=("normal", "tb"), **changes):
    """Eight images of two classes, six of them named rightly."""
    probs = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.2, 0.2, 0.1])
    probs = np.column_stack([probs, 1 - probs])
    label = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    block = classification.summarise(probs, label, class_names=names)
    block |= {"temperature": 1.75} | changes
    oracle = block | {"note": "Not a result.", "accuracy": 0.98765}
    return {"classification": block, "classification_oracle_mask": oracle}

  def report(self, **changes):
    rng = np.random.default_rng(0)
    per_image = []
    for i in range(5):
      mask = rng.random((16, 16)) < 0.5
      prediction = mask ^ (rng.random((16, 16)) < 0.1)
      per_image.append(
        {"id": f"x{i}", **segmentation_metrics(prediction, mask)}
      )
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
      **self.diagnosis(),
      "per_image": per_image,
      "notes": ["largest-component clean-up on"],
    } | changes

  def case(self, kind, /, **changes):
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

  def write(self, folder, *, name="report.html", **changes):
    """The text of a page without curves, pictures and list of images."""
    report_lib.write_report(
      folder / name,
      **{
        "report": self.report(per_image=[]),
        "history": [],
        "cases": [],
        "config": {},
        "environment": {},
      }
      | changes,
    )
    return (folder / name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def reports():
  return Reports()


@pytest.fixture(scope="session")
def report_text(reports, tmp_path_factory):
  """A page with everything."""
  return reports.write(
    tmp_path_factory.mktemp("full"),
    report=reports.report(),
    history=reports.history,
    cases=[reports.case(kind) for kind in reports.kinds],
    config={"seed": 3, "model": {"preset": "apppau"}},
    environment={
      "jax": "0.10.2",
      "device": {"count": 8},
      "minutes": 6.5,
      "command": "python -m x --a=1",
    },
  )


@pytest.fixture(scope="session")
def report_page(report_text):
  return Page(report_text)


@pytest.fixture
def make_run():
  """Returns a function that makes a run of its Dice of each image."""

  def make(row, seed, dice, *, dataset="montgomery", ids=None, **more):
    ids = ids or [f"i{k}" for k in range(len(dice))]
    return Run(
      row=row,
      dataset=dataset,
      seed=seed,
      report={
        "segmentation": {"dice": {"mean": float(np.mean(dice)), "sd": 0.0}},
        "paper_compat": {"js_pixel_accuracy": 0.99},
        "parameters": {"segmentor": 7762945},
        "per_image": [{"id": i, "dice": float(d)} for i, d in zip(ids, dice)],
      }
      | more,
    )

  return make
