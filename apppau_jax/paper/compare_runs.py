"""Compares two sets of finished runs on the same images, image by image.

The runs of both sides are paired by `seed` and `data.label_seed` if these are
the same; otherwise the values of each side are averaged for each image first.
See `comparisons` for the test and the interval.
"""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from apppau_jax.errors import CheckpointError, ConfigError, DataError
from apppau_jax.experiment import run_files
from apppau_jax.paper import comparisons
from apppau_jax.paper.comparisons import Result
from apppau_jax.reports import figure_style
from apppau_jax.reports.metric_names import SEGMENTATION

PathLike = str | os.PathLike[str]


def compare(
  first: Sequence[PathLike],
  second: Sequence[PathLike],
  *,
  part: str = "test",
  metric: str = "dice",
) -> dict[str, Any]:
  """Returns the paired difference of two sets of runs, first minus second.

  Args:
    first: run folders of one side, such as the seeds of one configuration.
    second: those of the other side.
    part: "validation" or "test".
    metric: a key of `per_image` in report.json.

  Returns:
    part, metric, n (images), runs and mean of each side, difference, ci95, p,
    seeds and label_seeds (of the paired runs; empty if the sides were
    averaged), and by_image: {id: difference}.

  Raises:
    CheckpointError: a folder without a report of the part.
    ConfigError: a side without a run, or a metric that the reports lack.
    DataError: the runs were measured on different images.
  """
  if not (first and second):
    raise ConfigError("Name at least one run on each side: --a=RUN --b=RUN.")
  folders = [[pathlib.Path(r).expanduser() for r in s] for s in (first, second)]
  sides = [
    [_result(run, part, metric, flag=flag) for run in side]
    for flag, side in zip(("--a", "--b"), folders)
  ]
  _check_images([result for side in sides for result in side])
  draws = [[_draw(run) for run in side] for side in folders]
  order = sorted(draws[0])
  is_paired = order == sorted(draws[1]) and len({*order}) == len(order)
  if is_paired:  # `paired` looks for equal numbers
    sides = [
      [dataclasses.replace(r, seed=order.index(d)) for r, d in zip(*side)]
      for side in zip(sides, draws)
    ]
  else:
    sides = [[_average(side, metric)] for side in sides]
  found = comparisons.paired(*sides, name=metric)
  if found is None:
    raise AssertionError("both sides have the same numbers")
  a, b = (_values(side, metric) for side in sides)
  images = [image["id"] for image in sides[0][0].report["per_image"]]
  return {
    "part": part,
    "metric": metric,
    "n": len(images),
    "a": {"runs": [*map(str, first)], "mean": float(a.mean())},
    "b": {"runs": [*map(str, second)], "mean": float(b.mean())},
    "difference": found["difference"],
    "ci95": found["ci95"],
    "p": found["p"],
    "seeds": [seed for seed, _ in order] if is_paired else [],
    "label_seeds": [draw for _, draw in order] if is_paired else [],
    "by_image": dict(zip(images, (a - b).tolist())),
  }


def _result(
  folder: pathlib.Path, part: str, metric: str, *, flag: str
) -> Result:
  config = run_files.read_config(folder, flag=flag)
  report = run_files.read_report(folder, part)
  if not report.get("per_image"):
    raise CheckpointError(
      f"{folder} has no report of its {part} part. Write it with `python -m "
      f"launch.evaluate --workdir={folder} --split={part}`."
    )
  images = report["per_image"]
  ids = collections.Counter(image["id"] for image in images)
  if twice := [name for name, count in ids.items() if count > 1]:
    raise CheckpointError(
      f"{folder}/eval/{part}/report.json names an image twice: {twice[0]!r}. "
      "It is damaged; evaluate the run again."
    )
  measured = [isinstance(image.get(metric), int | float) for image in images]
  if metric not in SEGMENTATION or not all(measured):
    known = [name for name in SEGMENTATION if name in images[0]]
    raise ConfigError(
      f"--metric={metric} is not measured for each image of {folder}; its "
      f"report has {', '.join(known)}."
    )
  return Result(
    row=str(folder),
    dataset=config.data.dataset,
    seed=config.seed,
    report=report,
  )


def _draw(folder: pathlib.Path) -> tuple[int, int]:
  config = run_files.read_config(folder)
  return config.seed, config.data.label_seed


def _check_images(results: Sequence[Result]) -> None:
  ids, digest = _images(results[0])
  for result in results[1:]:
    others, other = _images(result)
    if others != ids or other != digest:
      raise DataError(
        f"{results[0].row} and {result.row} were measured on different images "
        f"({len(ids)} of {results[0].dataset} and {len(others)} of "
        f"{result.dataset}), or the data were prepared differently. Only runs "
        "on the same prepared data and split can be compared image by image."
      )


def _images(result: Result) -> tuple[set[str], str | None]:
  ids = {image["id"] for image in result.report["per_image"]}
  return ids, result.report.get("data_sha256")


def _values(side: Sequence[Result], metric: str) -> np.ndarray:
  """Returns the mean over the runs of each image, in the order of the first."""
  ids = [image["id"] for image in side[0].report["per_image"]]
  by_id = [
    {image["id"]: image[metric] for image in result.report["per_image"]}
    for result in side
  ]
  return np.mean([[values[i] for i in ids] for values in by_id], axis=0)


def _average(side: Sequence[Result], metric: str) -> Result:
  """Returns one result with the mean over the runs of each image."""
  ids = [image["id"] for image in side[0].report["per_image"]]
  rows = zip(ids, _values(side, metric).tolist())
  report = {"per_image": [{"id": i, metric: value} for i, value in rows]}
  return Result(row="mean", dataset=side[0].dataset, seed=0, report=report)


def summary(found: dict[str, Any]) -> list[str]:
  """Returns the comparison in a few lines for the terminal."""
  low, high = found["ci95"]
  name = SEGMENTATION[found["metric"]].label
  lines = [
    f"{found['part']}, {found['n']} images, {name}: "
    f"a {found['a']['mean']:.4f} ({_runs(found['a'])}), "
    f"b {found['b']['mean']:.4f} ({_runs(found['b'])})",
    f"a - b: {found['difference']:+.4f}, 95 % CI [{low:+.4f}, {high:+.4f}], "
    f"p = {found['p']:.3g} (Wilcoxon over images)",
  ]
  seeds = len(found["seeds"])
  if seeds == 1:
    lines.append(
      "1 run each: interval and p cover the choice of images, not another "
      "seed or another draw of the labels."
    )
  elif not seeds:
    lines.append(
      "The runs cannot be paired by seed and data.label_seed, so each side "
      "was averaged for each image: interval and p cover the choice of images, "
      "not another seed or another draw of the labels."
    )
  return lines


def _runs(side: dict[str, Any]) -> str:
  count = len(side["runs"])
  return f"{count} run{'s' * (count > 1)}"


def plot(found: dict[str, Any]) -> dict[str, bytes]:
  """Draws the difference of every image, their mean and its interval.

  Returns:
    See `figure_style.encode`.
  """
  values = np.sort([*found["by_image"].values()])
  label = SEGMENTATION[found["metric"]].label
  with figure_style.settings("compare"):
    figure, ((axis,),) = figure_style.grid(1, 1, cell=(6.0, 3.2))
    low, high = found["ci95"]
    axis.axhspan(low, high, color=figure_style.BLUE, alpha=0.2, lw=0)
    axis.axhline(found["difference"], color=figure_style.BLUE, lw=1.4)
    axis.axhline(0, color="black", lw=0.8)
    colours = np.where(values < 0, figure_style.ORANGE, figure_style.BLUE)
    axis.scatter(np.arange(1, len(values) + 1), values, c=colours, s=12)
    axis.set(
      xlabel=f"{len(values)} {found['part']} images, by their difference",
      ylabel=f"{label}, a - b",
      title=f"mean {found['difference']:+.4f}, 95 % CI [{low:+.4f}, "
      f"{high:+.4f}], p = {found['p']:.3g}",
    )
    return figure_style.encode(figure)
