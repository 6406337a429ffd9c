"""From a stub network to the report: measures, classes, cases."""

import dataclasses
import json

import numpy as np
import pytest
from fixtures.stub_member import StubMember
from scipy import special
from sklearn import metrics

from apppau_jax.datasets.examples import Examples
from apppau_jax.inference.model import Model
from apppau_jax.reports import evaluate
from apppau_jax.reports import report as page

# Of D for five images, two classes and the fake class.
LOGITS = np.log([[3, 1, 9], [1, 1, 1], [1, 4, 1], [1, 3, 2], [2, 1, 7.0]])


def _source(count=5, side=16):
  """Dark lungs of growing size on a bright ground."""
  rng = np.random.default_rng(0)
  mask = np.zeros((count, side, side, 1), np.uint8)
  for i in range(count):
    mask[i, 2 : 6 + i, 3:12] = 1
  image = 200 * (1 - mask) + rng.integers(0, 20, mask.shape)
  return Examples(
    ids=tuple(f"id{i}" for i in range(count)),
    image=image.astype(np.uint8),
    mask=mask,
    label=np.arange(count, dtype=np.int32) % 2,
    has_mask=np.ones(count, bool),
    has_label=np.ones(count, bool),
  )


def _model(*, cut=100.0, batch_size=4, classifier=None, **options):
  """Finds lung where the image is darker than `cut`."""
  member = StubMember(
    lambda image: (cut - image.astype(np.float32)) / 10.0, classifier
  )
  return Model([member], resolution=16, batch_size=batch_size, **options)


def _score(model, *, count=5, oracle=False):
  source = _source(count)
  return evaluate.score(model.batches(source, oracle=oracle), ids=source.ids)


def _classified(*, cut=100.0, oracle=LOGITS):
  """Scores of a classifier whose logits are `LOGITS`, `oracle` with masks."""
  calls = []

  def classifier(image, mask):
    calls.append(0)
    return (LOGITS, oracle)[(len(calls) - 1) % 2]

  names = ("normal", "tb")
  model = _model(
    cut=cut, batch_size=5, classifier=classifier, class_names=names
  )
  return _score(model, oracle=True)


def _labels(**changes):
  true = {"label": np.array([0, -1, 1, 0, 1]), "class_names": ("normal", "tb")}
  return evaluate.Labels(**true | changes)


@pytest.mark.parametrize("count", [2, 5])
def test_padding_is_not_measured(count):
  scored = _score(_model(), count=count)
  assert [m["dice"] for m in scored.per_image] == [1.0] * count
  source = _source(count)
  packed = np.unpackbits(scored.packed, axis=-1)
  np.testing.assert_array_equal(packed, source.mask[..., 0])
  assert scored.logits is None


def test_pooled_ratios_are_of_the_pixels_of_all_images():
  """Every image has one mistake more than the one before."""
  source = _source()
  image = source.image.copy()
  for i in range(len(image)):
    image[i, 0, :i] = 0  # dark, so called lung
  wrong = dataclasses.replace(source, image=image)
  model = _model()
  scored = evaluate.score(model.batches(wrong), ids=source.ids)
  report = evaluate.make_report(scored, facts={"split": "test"})
  found = (image < 100).ravel()
  true = source.mask.ravel().astype(bool)
  pooled = report["pooled"]["lungs"]
  assert pooled["dice"] == pytest.approx(metrics.f1_score(true, found))
  assert pooled["precision"] == pytest.approx(
    metrics.precision_score(true, found)
  )
  assert pooled["dice"] != pytest.approx(report["segmentation"]["dice"]["mean"])
  assert page.other_dice(report) == {"pooled Dice": pooled["dice"]}


def test_report_holds_the_facts_and_the_mean_of_its_rows():
  model = _model(cut=8.0)
  report = evaluate.make_report(_score(model), facts={"seed": 3})
  json.dumps(report, allow_nan=False)
  assert list(report)[:2] == ["seed", "n"]
  dice = [row["dice"] for row in report["per_image"]]
  assert 0 < np.mean(dice) < 1
  summary = report["segmentation"]["dice"]
  assert summary["mean"] == pytest.approx(np.mean(dice))
  assert summary["sd"] == pytest.approx(np.std(dice, ddof=1))
  found, mask = _source().image < 8.5, _source().mask > 0
  accuracy = report["paper_compat"]["js_pixel_accuracy"]
  assert accuracy == pytest.approx((found == mask).mean())
  assert report["per_image"][2]["id"] == "id2"
  assert "classification" not in report


def test_cases_are_the_best_the_median_and_the_worst():
  model, source = _model(cut=8.0), _source()
  scored = _score(model)
  cases = evaluate.pick_cases(model, scored, source)
  dice = sorted((m["dice"] for m in scored.per_image), reverse=True)
  assert [c.kind for c in cases] == ["best", "median", "worst"]
  assert [c.metrics["dice"] for c in cases] == [dice[0], dice[2], dice[4]]
  for case in cases:
    pixels = source.image[scored.ids.index(case.id), ..., 0]
    prob = 1 / (1 + np.exp((pixels - 8.0) / 10.0))
    np.testing.assert_allclose(case.prob, prob, rtol=1e-5)
    np.testing.assert_allclose(case.side_probs[0], prob[::2, ::2], rtol=1e-5)
    np.testing.assert_array_equal(case.prediction, prob >= 0.5)
    np.testing.assert_array_equal(case.image, pixels / 255)
    assert case.attention["D1"].shape == (16, 16)


def test_images_of_unknown_class_are_not_classified():
  scored = _classified(oracle=np.eye(5)[:, :3])
  labels = _labels(temperature=0.5)
  report = evaluate.make_report(scored, facts={}, labels=labels)
  json.dumps(report, allow_nan=False)
  block = report["classification"]
  assert (block["n"], block["temperature"]) == (4, 0.5)
  assert block["confusion"] == [[1, 1], [1, 1]]
  # Ratios of 3, 4, 3 and 2 to 1, squared by the temperature.
  tb = [row["probs"]["tb"] for row in report["per_image"] if "probs" in row]
  assert tb == pytest.approx([1 / 10, 16 / 17, 9 / 10, 1 / 5])
  # Twice the square of what the other class has: 1/4, 1/5, 3/4 and 2/3.
  brier = 2 * (1 / 16 + 1 / 25 + 9 / 16 + 4 / 9) / 4
  assert block["uncalibrated"]["brier"] == pytest.approx(brier)
  names = [row.get("label") for row in report["per_image"]]
  assert names == ["normal", None, "tb", "normal", "tb"]
  oracle = report["classification_oracle_mask"]
  assert "not a result" in oracle["note"]
  assert oracle["confusion"] == [[2, 0], [2, 0]]
  plain = evaluate.make_report(scored, facts={})
  assert report["segmentation"] == plain["segmentation"]
  unknown = _labels(label=np.full(5, -1))
  assert evaluate.make_report(scored, facts={}, labels=unknown) == plain


def test_report_refuses_labels_of_other_images():
  labels = _labels(label=np.zeros(4, int))
  with pytest.raises(ValueError, match="5 images"):
    evaluate.make_report(_classified(), facts={}, labels=labels)


def test_report_of_a_combination_separates_the_data_sets():
  scored, sources = _classified(cut=8.0), ["sz", "sz", "mc", "mc", "sz"]
  report = evaluate.make_report(
    scored, facts={}, labels=_labels(), sources=sources
  )
  json.dumps(report, allow_nan=False)
  dice = [row["dice"] for row in report["per_image"]]
  parts = report["by_source"]
  assert {name: part["n"] for name, part in parts.items()} == {"mc": 2, "sz": 3}
  mean = parts["mc"]["segmentation"]["dice"]["mean"]
  assert mean == pytest.approx(np.mean(dice[2:4]))
  # Known classes: 0 and 1 of sz (ids 0, 4), 1 and 0 of mc (ids 2, 3).
  assert parts["sz"]["classification"]["n"] == 2
  assert parts["sz"]["classification"]["accuracy"] == 0.5
  assert parts["mc"]["classification"]["accuracy"] == 0.5
  assert report["classification"]["source_only"]["accuracy"] == 0.5
  plain = evaluate.make_report(
    scored, facts={}, labels=_labels(), sources=["sz"] * 5
  )
  assert "by_source" not in plain
  assert "source_only" not in plain["classification"]
  assert plain["segmentation"] == report["segmentation"]


def test_findings_have_a_block_and_columns_of_their_own(tmp_path):
  names = ("mass", "nodule")
  model = _model(
    batch_size=5,
    classifier=lambda image, mask: LOGITS,
    class_names=names,
    multi_label=True,
  )
  stated = np.array([[1, -1], [0, 1], [-1, -1], [1, 0], [0, 0]])
  labels = evaluate.Labels(
    label=stated, class_names=names, multi_label=True, least_positives=2
  )
  report = evaluate.make_report(_score(model), facts={}, labels=labels)
  json.dumps(report, allow_nan=False)
  assert "classification" not in report
  block = report["findings"]
  known = stated[:, 0] >= 0
  probs = special.expit(LOGITS[:, 0])
  mass = block["by_finding"]["mass"]
  assert mass["auroc"] == metrics.roc_auc_score(stated[known, 0], probs[known])
  assert block["too_few"] == ["nodule"]
  assert block["n"] == 4
  rows = report["per_image"]
  assert [row["findings"] for row in rows[:3]] == [
    {"mass": 1},
    {"mass": 0, "nodule": 1},
    {},
  ]
  assert rows[4]["finding_probs"]["mass"] == pytest.approx(probs[4])
  facts = {
    "dataset": "x",
    "split": "test",
    "seed": 0,
    "checkpoint_step": 1,
    "threshold": 0.5,
  }
  page.write_report(
    tmp_path / "report.html",
    report=facts | report,
    history=[],
    cases=[],
    config={},
    environment={},
  )
  text = (tmp_path / "report.html").read_text()
  assert f"<td>{mass['auroc']:.4f}</td>" in text
  assert "fewer lack it: nodule." in text


def test_images_without_masks_count_in_the_diagnosis_alone():
  """AUROC over both kinds as scikit-learn has it; Dice of those with masks."""
  scored = _classified()
  rng = np.random.default_rng(1)
  more = evaluate.ClassOnly(
    ids=[f"more{i}" for i in range(6)],
    logits=rng.normal(size=(6, 3)),
    label=np.array([0, 1, 1, -1, 0, 1]),
    sources=[""] * 6,
    patients=[*"abcdef"],
  )
  labels = _labels()
  found = evaluate.make_report(scored, facts={}, labels=labels, more=more)
  without = evaluate.make_report(scored, facts={}, labels=labels)
  assert found["segmentation"] == without["segmentation"]
  assert found["n"] == 5
  assert [x["id"] for x in found["per_image"]] == [*scored.ids]
  label = np.concatenate([labels.label, more.label])
  logits = np.concatenate([LOGITS, more.logits])
  known = label >= 0
  real = special.softmax(logits[known, :2], axis=1)[:, 1]
  block = found["classification"]
  np.testing.assert_allclose(
    block["auroc"], metrics.roc_auc_score(label[known], real)
  )
  assert block["n"] == known.sum() == 9
  oracle = "classification_oracle_mask"
  assert found[oracle] == without[oracle]
  listed = {x["id"]: x.get("label") for x in found["class_only"]}
  assert listed == dict(
    zip(more.ids, ["normal", "tb", "tb", None, "normal", "tb"])
  )
