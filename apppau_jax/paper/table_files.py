"""Writes the files of a table, with its caption and facts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apppau_jax import files, progress
from apppau_jax.errors import UserError
from apppau_jax.experiment import provenance
from apppau_jax.paper import (
  comparisons,
  cross_dataset,
  cross_dataset_table,
  table_page,
  table_rows,
  table_text,
  tables,
)
from apppau_jax.paper.sweep import Run, Sweep, common_part


def write(
  plan: Sweep,
  failed: Mapping[str, str],
  *,
  cross: bool,
  draw: Callable[..., list],
  last: bool = False,
) -> None:
  """Writes table.json, .md, .tex and .html of the finished runs.

  Args:
    plan: the sweep.
    failed: reasons by name of the run.
    cross: whether to measure each model on the other sets, if this is the last
      call.
    draw: see `figures.draw`; used by the last call.
    last: whether this is the last call.
  """
  done = [run for run in plan.runs if run.is_done()]
  if not done:
    return
  part = common_part(done)
  results = [
    comparisons.Result(
      row=run.row.name,
      dataset=run.row.dataset,
      seed=run.seed,
      report=run.report(part),
    )
    for run in done
  ]
  protocol, quick = table_rows.parse_protocol(plan.protocol)
  facts: dict[str, Any] = {
    "title": f"Table {plan.table}",
    "caption": caption(plan, results, part=part),
    "table": plan.table,
    "protocol": protocol,
    "part": part,
    "overrides": list(plan.overrides),
    "quick": quick,
    "failed": dict(failed),
    "environment": provenance.environment(),
  }
  if last and cross:
    facts["cross"] = cross_dataset_table.summarise(
      cross_dataset.measure(done, part=part, datasets=plan.datasets)
    )
  table = tables.make(results, facts=facts)
  figures = _figures(plan, done, table, draw) if last else []
  files.write_json(plan.out / "table.json", table)
  for name, text in (
    ("table.md", table_text.markdown(table)),
    ("table.tex", table_text.latex(table)),
    ("table.html", table_page.page(table, figures=figures)),
  ):
    files.write_bytes(plan.out / name, text.encode())


def _figures(
  plan: Sweep, done: Sequence[Run], table: Mapping[str, Any], draw: Callable
) -> list[table_page.Figure]:
  proposed = table_rows.PROPOSED[plan.table]
  try:
    return draw(done, table, out=plan.out / "figures", reference=proposed)
  except UserError as error:  # the data were moved; the numbers remain
    progress.say(f"no figures: {error}", error=True)
    return []


def caption(
  plan: Sweep, results: Sequence[comparisons.Result], *, part: str
) -> str:
  """Returns what a reader must know about the table's numbers."""
  parts = [
    f"{len(results)} of {len(plan.runs)} runs, {part} part, protocol "
    f"{plan.protocol}; mean ± sd over seeds of the mean over images.",
    "* marks a row that exceeds every other row of its data set in lung Dice: "
    f"p < {tables.LEVEL} (Wilcoxon over images, Holm over all pairs), interval "
    f"above 0, {tables.MIN_SEEDS} seeds or more.",
    "Rows without seeds use the shares of the classes alone.",
  ]
  if part == "validation":
    parts.append(
      "Validation images also selected each run's checkpoint, so these numbers "
      "are optimistic."
    )
  if plan.overrides:
    parts.append(f"Changed in every run: {', '.join(plan.overrides)}.")
  if plan.texts:
    parts.append(f"Only rows whose name contains {' or '.join(plan.texts)}.")
  if ":" in plan.protocol:
    parts.append("Shortened runs: a functional check, not a result.")
  if any("phantom" in dataset for dataset in plan.datasets):
    parts.append("Phantoms are simulated radiographs, not patients.")
  for dataset in comparisons.on_different_images(results):
    parts.append(
      f"CAUTION: the runs on {dataset} were measured on different prepared "
      "images. Their means are not comparable, and rows without common images "
      "have no paired test."
    )
  return " ".join(parts)
