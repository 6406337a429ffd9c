"""From a stub network to the report: padding, thresholds, cases."""

import json

import numpy as np
import pytest
from scipy import special

from apppau_jax.datasets.examples import Examples
from apppau_jax.inference import batched_inference
from apppau_jax.models import segmentor
from apppau_jax.reports import evaluate


def _masks(n=5, side=16):
  rng = np.random.default_rng(0)
  mask = np.zeros((n, side, side, 1), np.uint8)
  for i in range(n):
    mask[i, 2 : 6 + i, 3:12] = 1
  image = (200 * (1 - mask) + rng.integers(0, 20, mask.shape)).astype(np.uint8)
  return image, mask


class Stub:
  """Sees lung where the image is dark; remembers the shapes it was shown."""

  def __init__(self):
    self.shapes = []

  def __call__(self, variables, image):
    self.shapes.append(image.shape)
    logits = (variables["cut"] - image.astype(np.float32)) / 10.0
    return segmentor.SegmentorOutput(
      logits=logits,
      side_logits=(logits[:, ::2, ::2], logits),
      attention={"D1": np.full_like(logits, 0.25)},
    )


def _source(n=5, *, mask=None):
  image, united = _masks(n)
  return Examples(
    ids=tuple(f"id{i}" for i in range(n)),
    image=image,
    mask=united if mask is None else mask,
    label=np.arange(n, dtype=np.int32) % 2,
    has_mask=np.ones(n, bool),
    has_label=np.ones(n, bool),
  )


def _score(stub, *, options, n=5, cut=100.0):
  players, variables = (
    batched_inference.Players(predict=stub),
    {"segmentor": {"cut": cut}},
  )
  return evaluate.score(players, variables, _source(n), options=options)


def _look(stub, *, options, cut=100.0):
  players, variables = (
    batched_inference.Players(predict=stub),
    {"segmentor": {"cut": cut}},
  )
  return [
    *batched_inference.look(players, variables, _source(), options=options)
  ]


def test_every_batch_has_one_shape_and_no_padding_is_measured():
  stub = Stub()
  options = batched_inference.Options(batch_size=4)
  scored = _score(stub, options=options)
  assert stub.shapes == [(4, 16, 16, 1)] * 2
  assert len(scored.per_image) == 5
  image, mask = _masks()
  expected = special.expit((100.0 - image.astype(float)) / 10.0)
  seen = _look(stub, options=options)
  prob, found = (
    np.concatenate([getattr(part, name) for part in seen])
    for name in ("prob", "found")
  )
  np.testing.assert_allclose(prob, expected, rtol=1e-4)
  np.testing.assert_array_equal(found, mask.astype(bool))
  assert [m["dice"] for m in scored.per_image] == [1.0] * 5


def test_fewer_images_than_a_batch():
  scored = _score(Stub(), options=batched_inference.Options(batch_size=16), n=2)
  assert len(scored.ids) == 2


def test_threshold_is_inclusive_and_cleanup_is_an_option():
  prob = np.zeros((1, 16, 16))
  prob[0, 1:4, 1:4] = 0.5
  prob[0, 8:14, 8:14] = 0.9
  plain = batched_inference.binarize(prob, options=batched_inference.Options())
  assert plain.sum() == 9 + 36
  one = batched_inference.binarize(
    prob, options=batched_inference.Options(largest_components=1)
  )
  assert one.sum() == 36
  high = batched_inference.binarize(
    prob, options=batched_inference.Options(threshold=0.6)
  )
  assert high.sum() == 36


def test_dice_of_empty_masks_and_by_hand():
  a = np.zeros((3, 4, 4), bool)
  b = np.zeros((3, 4, 4), bool)
  a[1, :2] = True  # 8 pixels
  b[1, 1:3, :3] = True  # 6 pixels, 3 shared
  b[2, 0, 0] = True
  np.testing.assert_allclose(batched_inference.dice(a, b), [1.0, 6 / 14, 0.0])


def test_report_holds_the_facts_and_the_mean_of_its_rows():
  scored = _score(Stub(), options=batched_inference.Options(), cut=8.0)
  report = evaluate.make_report(scored, facts={"seed": 3})
  json.dumps(report, allow_nan=False)
  assert list(report)[:2] == ["seed", "n"]
  dice = [row["dice"] for row in report["per_image"]]
  assert 0 < np.mean(dice) < 1
  assert report["segmentation"]["dice"]["mean"] == pytest.approx(np.mean(dice))
  assert report["segmentation"]["dice"]["sd"] == pytest.approx(
    np.std(dice, ddof=1)
  )
  (seen,) = _look(Stub(), options=batched_inference.Options(), cut=8.0)
  accuracy = (seen.found == seen.mask).mean()
  compat = report["paper_compat"]
  assert compat["js_pixel_accuracy"] == pytest.approx(accuracy)
  assert report["per_image"][2]["id"] == "id2"


def test_cases_are_the_best_the_median_and_the_worst():
  options = batched_inference.Options(batch_size=4)
  scored = _score(Stub(), options=options, cut=8.0)
  cases = evaluate.pick_cases(
    batched_inference.Players(predict=Stub()),
    {"segmentor": {"cut": 8.0}},
    scored,
    _source(),
    options=options,
  )
  (seen,) = _look(Stub(), options=batched_inference.Options(), cut=8.0)
  dice = sorted((m["dice"] for m in scored.per_image), reverse=True)
  assert [c.kind for c in cases] == ["best", "median", "worst"]
  assert [c.metrics["dice"] for c in cases] == [dice[0], dice[2], dice[4]]
  for case in cases:
    i = scored.ids.index(case.id)
    np.testing.assert_allclose(
      case.side_probs[-1], seen.prob[i, ..., 0], atol=1e-6
    )
    np.testing.assert_array_equal(case.prediction, seen.found[i, ..., 0])
    assert case.side_probs[0].shape == (8, 8)
    assert case.attention["D1"].shape == (16, 16)
    assert case.image.max() <= 1.0


class Doctor:
  """D: the brighter the image and the larger the mask, the more class 1."""

  def __init__(self):
    self.seen = []

  def __call__(self, variables, image, mask):
    self.seen.append((image.shape, image.dtype, mask.shape, mask.dtype))
    bright = image.astype(np.float32).mean(axis=(1, 2, 3)) / 100
    area = mask.mean(axis=(1, 2, 3))
    return np.stack([variables["w"] * area, bright, bright + 9], axis=1)


def test_diagnosis_pads_batches_like_segmentation():
  image, mask = _masks()
  doctor = Doctor()
  got = batched_inference.diagnose_logits(
    doctor, {"w": 2.0}, image, mask, batch_size=4
  )
  shape = (4, 16, 16, 1)
  assert doctor.seen == [(shape, np.uint8, shape, np.float32)] * 2
  bright = image.mean(axis=(1, 2, 3)) / 100
  expected = [2 * mask.mean(axis=(1, 2, 3)), bright, bright + 9]
  np.testing.assert_allclose(got, np.transpose(expected), rtol=1e-5)
  assert got.dtype == np.float32
  with pytest.raises(ValueError, match="differ"):
    batched_inference.diagnose_logits(
      doctor, {"w": 2.0}, image, mask[:3], batch_size=4
    )


def _diagnosis(**changes):
  logits = np.log([[3, 1, 9], [1, 1, 1], [1, 4, 1], [1, 3, 2], [2, 1, 7.0]])
  label = np.array([0, -1, 1, 0, 1])
  facts = {"logits": logits, "label": label, "class_names": ("normal", "tb")}
  return evaluate.Diagnosis(**facts | changes)


def test_report_diagnoses_the_images_whose_class_is_known():
  scored = _score(Stub(), options=batched_inference.Options())
  plain = evaluate.make_report(scored, facts={})
  diagnosis = _diagnosis(temperature=0.5, oracle_logits=np.eye(5)[:, :3])
  report = evaluate.make_report(scored, facts={}, diagnosis=diagnosis)
  json.dumps(report, allow_nan=False)
  block = report["classification"]
  assert (block["n"], block["temperature"]) == (4, 0.5)
  assert block["confusion"] == [[1, 1], [1, 1]]
  # Ratios of 3, 4, 3 and 2 to 1, squared by the temperature.
  tb = [row["probs"]["tb"] for row in report["per_image"] if "probs" in row]
  assert tb == pytest.approx([1 / 10, 16 / 17, 9 / 10, 1 / 5])
  assert [row.get("label") for row in report["per_image"]] == [
    "normal",
    None,
    "tb",
    "normal",
    "tb",
  ]
  oracle = report["classification_oracle_mask"]
  assert "not a result" in oracle["note"]
  assert oracle["confusion"] == [[2, 0], [2, 0]]
  assert report["segmentation"] == plain["segmentation"]
  assert "classification" not in plain


def test_report_without_any_class_or_oracle():
  scored = _score(Stub(), options=batched_inference.Options())
  unknown = _diagnosis(label=np.full(5, -1))
  assert evaluate.make_report(scored, facts={}, diagnosis=unknown) == (
    evaluate.make_report(scored, facts={})
  )
  report = evaluate.make_report(scored, facts={}, diagnosis=_diagnosis())
  assert report["classification_oracle_mask"] is None


def test_report_refuses_a_diagnosis_of_other_images():
  scored = _score(Stub(), options=batched_inference.Options())
  short = _diagnosis().logits[:4]
  for wrong in ({"logits": short}, {"oracle_logits": short}):
    with pytest.raises(ValueError, match="5 images need as many logits"):
      evaluate.make_report(scored, facts={}, diagnosis=_diagnosis(**wrong))


def test_report_of_a_combination_tells_the_sets_apart():
  scored = _score(Stub(), options=batched_inference.Options(), cut=8.0)
  of = ["sz", "sz", "mc", "mc", "sz"]
  report = evaluate.make_report(scored, facts={}, diagnosis=_diagnosis(), of=of)
  json.dumps(report, allow_nan=False)
  dice = [row["dice"] for row in report["per_image"]]
  parts = report["by_source"]
  assert {name: part["n"] for name, part in parts.items()} == {"mc": 2, "sz": 3}
  assert parts["mc"]["segmentation"]["dice"]["mean"] == pytest.approx(
    np.mean(dice[2:4])
  )
  # Known classes: 0 and 1 of sz (ids 0, 4), 1 and 0 of mc (ids 2, 3).
  assert parts["sz"]["classification"]["n"] == 2
  assert parts["sz"]["classification"]["accuracy"] == 0.5
  assert parts["mc"]["classification"]["accuracy"] == 0.5
  assert report["classification"]["source_only"]["accuracy"] == 0.5
  plain = evaluate.make_report(
    scored, facts={}, diagnosis=_diagnosis(), of=["sz"] * 5
  )
  assert "by_source" not in plain
  assert "source_only" not in plain["classification"]
  assert plain["segmentation"] == report["segmentation"]
