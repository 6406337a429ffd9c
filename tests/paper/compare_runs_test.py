"""The paired comparison of run folders, against SciPy and by hand."""

import json

import numpy as np
import pytest
from scipy import stats

from apppau_jax.config import Config
from apppau_jax.errors import CheckpointError, ConfigError, DataError
from apppau_jax.paper import compare_runs


def _run(folder, values, *, seed=0, draw=0, digest="d", first=0):
  """A run folder with nothing but what is compared."""
  config = Config.from_dict({"seed": seed, "data": {"label_seed": draw}})
  (folder / "eval/test").mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps(config.to_dict()))
  images = [
    {"id": f"i{k + first}", "dice": float(v), "area_px": k}
    for k, v in enumerate(values)
  ]
  report = {"n": len(images), "data_sha256": digest, "per_image": images}
  (folder / "eval/test/report.json").write_text(json.dumps(report))
  return folder


def test_two_runs_against_scipy(tmp_path):
  rng = np.random.default_rng(1)
  a = rng.normal(0.9, 0.02, 20)
  b = a - rng.normal(0.01, 0.02, 20)
  found = compare_runs.compare(
    [_run(tmp_path / "a", a)], [_run(tmp_path / "b", b)]
  )
  assert found["n"] == 20
  assert found["difference"] == pytest.approx((a - b).mean())
  assert found["p"] == pytest.approx(stats.wilcoxon(a - b).pvalue)
  assert found["ci95"][0] < found["difference"] < found["ci95"][1]
  assert found["by_image"]["i3"] == pytest.approx(a[3] - b[3])
  text = "\n".join(compare_runs.summary(found))
  assert "1 run each" in text
  assert compare_runs.plot(found)["png"].startswith(b"\x89PNG")


def test_the_same_seeds_are_paired_and_others_averaged(tmp_path):
  a = [_run(tmp_path / f"a{s}", [0.9, 0.7], seed=s) for s in (0, 1)]
  b = [_run(tmp_path / f"b{s}", [0.8, 0.7 - s / 10], seed=s) for s in (1, 0)]
  found = compare_runs.compare(a, b)
  assert found["seeds"] == [0, 1]
  assert found["by_image"] == pytest.approx({"i0": 0.1, "i1": 0.05})
  found = compare_runs.compare(a, [_run(tmp_path / "c", [0.8, 0.6], seed=7)])
  assert found["seeds"] == []
  assert found["difference"] == pytest.approx(0.1)


def test_draws_of_one_seed_are_paired(tmp_path):
  """With them the interval also covers other draws of the masks."""
  a = [_run(tmp_path / f"a{d}", [0.9, 0.9 + d], draw=d) for d in (0, 1)]
  b = [_run(tmp_path / f"b{d}", [0.8, 0.8], draw=d) for d in (1, 0)]
  found = compare_runs.compare(a, b)
  assert (found["seeds"], found["label_seeds"]) == ([0, 0], [0, 1])
  assert found["by_image"] == pytest.approx({"i0": 0.1, "i1": 0.6})
  assert found["ci95"][1] == pytest.approx(1.1)  # twice draw 1, twice i1
  again = compare_runs.compare([a[0], a[0]], b)
  assert again["seeds"] == []
  assert "label_seed" in compare_runs.summary(again)[-1]


@pytest.mark.parametrize("other", [{"digest": "e"}, {"first": 1}])
def test_other_images_are_refused(tmp_path, other):
  a, b = _run(tmp_path / "a", [1, 1]), _run(tmp_path / "b", [1, 1], **other)
  with pytest.raises(DataError, match="different images"):
    compare_runs.compare([a], [b])


def test_an_image_that_a_report_names_twice_is_refused(tmp_path):
  a = _run(tmp_path / "a", [1, 1])
  path = a / "eval/test/report.json"
  path.write_text(path.read_text().replace("i1", "i0"))
  with pytest.raises(CheckpointError, match=r"a/eval/test/report.json .*'i0'"):
    compare_runs.compare([a], [a])


def test_what_is_absent_is_named(tmp_path):
  a = _run(tmp_path / "a", [1, 1])
  with pytest.raises(ConfigError, match="nonsense"):
    compare_runs.compare([a], [a], metric="nonsense")
  with pytest.raises(ConfigError, match="area_px"):  # a number, but no metric
    compare_runs.compare([a], [a], metric="area_px")
  with pytest.raises(CheckpointError, match=r"launch\.evaluate"):
    compare_runs.compare([a], [a], part="validation")
  with pytest.raises(ConfigError, match="--b"):
    compare_runs.compare([a], [])


def test_a_missing_run_is_named_by_its_flag(tmp_path):
  a = _run(tmp_path / "a", [1, 1])
  for sides in ((["none"], [a]), ([a], ["none"])):
    flag = "--b" if sides[0] == [a] else "--a"
    with pytest.raises(CheckpointError, match=f"^{flag}=none "):
      compare_runs.compare(*sides)
