"""From the networks' outputs to the numbers and cases of a report."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from scipy import special

from apppau_jax.datasets.examples import Source
from apppau_jax.imaging import grey_levels
from apppau_jax.inference.model import Model
from apppau_jax.inference.outputs import Outputs
from apppau_jax.metrics import (
  by_dataset,
  classification,
  findings,
  masks,
  paper_compat,
  statistics,
)
from apppau_jax.reports import figures, measured_masks
from apppau_jax.reports.measured_masks import Frame

_ORACLE = (
  "Diagnostic only, not a result: the discriminator was given the reference "
  "masks, which a new patient does not have."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
  """n images of a data set, segmented and measured.

  Attributes:
    ids: the images' names.
    per_image: metrics of each image; with structures their mean over the
      structures.
    structures: the same of each structure by its name; empty for the lungs.
    pooled: ratios of the pixels of all images by mask, see `masks.pooled`.
    paper_compat: see `metrics.paper_compat`; empty with structures.
    measured: by image, see `measured_masks.measure`.
    packed: `[n, h, w / 8]` uint8, the predicted lungs as `numpy.packbits` has
      them; empty with structures.
    logits: `[n, c + 1]` of D(x, S(x)), c classes; None without a classifier.
    oracle_logits: `[n, c + 1]` of D(x, reference).
  """

  ids: tuple[str, ...]
  per_image: list[dict[str, float]]
  structures: Mapping[str, list[dict[str, float]]]
  pooled: Mapping[str, Mapping[str, float]]
  paper_compat: Mapping[str, float]
  measured: Mapping[str, Mapping[str, Any]]
  packed: np.ndarray
  logits: np.ndarray | None = None
  oracle_logits: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels:
  """The true classes of the images of a `Scored`, in its order.

  Attributes:
    label: `[n]` in 0..c-1; of findings `[n, c]` in 0..1; -1 where unknown.
    class_names: the c classes, or findings.
    temperature: of the class probabilities, see `classification.posterior`.
    positive: of two classes, the one whose ROC is drawn; "": the second.
    multi_label: whether they are findings.
    patients: of the images, for the intervals of findings.
    least_positives: see `findings.summarise`.
  """

  label: np.ndarray
  class_names: Sequence[str]
  temperature: float = 1.0
  positive: str = ""
  multi_label: bool = False
  patients: Sequence[str] = ()
  least_positives: int = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassOnly:
  """m images without masks, classified.

  Attributes:
    ids: the images' names.
    logits: `[m, c + 1]` of D(x, S(x)).
    label: true classes, as in `Labels`.
    sources: the data set of each image.
    patients: of the images.
  """

  ids: Sequence[str]
  logits: np.ndarray
  label: np.ndarray
  sources: Sequence[str]
  patients: Sequence[str]


def score(
  batches: Iterable[Outputs],
  *,
  ids: Sequence[str],
  structures: Sequence[str] = (),
  frames: Mapping[str, Frame] = MappingProxyType({}),
) -> Scored:
  """Measures n images, a batch at a time.

  Args:
    batches: see `Model.batches`; class logits are expected for the reference
      masks too.
    ids: the images' names.
    structures: names of the masks; empty for the lungs.
    frames: of the raw images whose spacing is known, by id.
  """
  measured: dict[str, Mapping[str, Any]] = {}
  rows: list[list[dict[str, float]]] = []  # [n] [k]
  tallies, packed, logits, oracle = [], [], [], []
  counts = np.zeros((max(1, len(structures)), 4), np.int64)
  for part in batches:
    for found, mask in zip(part.prediction, part.mask):
      if frame := frames.get(ids[len(rows)]):
        measured[ids[len(rows)]] = measured_masks.measure(
          found, mask, structures=structures, frame=frame
        )
      planes = [*zip(np.moveaxis(found, -1, 0), np.moveaxis(mask, -1, 0))]
      counts += [masks.counts(*pair) for pair in planes]
      rows.append([masks.segmentation_metrics(*pair) for pair in planes])
      if not structures:
        tallies.append(paper_compat.tally(found[..., 0], mask[..., 0]))
    if not structures:
      packed.append(np.packbits(part.prediction[..., 0], axis=-1))
    logits.append(part.logits)
    oracle.append(part.oracle_logits)
  classified = logits[0].shape[1] > 0
  return Scored(
    ids=tuple(ids),
    per_image=[_mean(row) if structures else row[0] for row in rows],
    structures={
      name: [row[k] for row in rows] for k, name in enumerate(structures)
    },
    pooled=masks.pooled(counts, structures),
    paper_compat=paper_compat.of_tallies(tallies) if tallies else {},
    measured=measured,
    packed=np.concatenate(packed) if packed else np.empty(0, np.uint8),
    logits=np.concatenate(logits) if classified else None,
    oracle_logits=np.concatenate(oracle) if classified else None,
  )


def _mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
  return {name: float(np.mean([v[name] for v in values])) for name in values[0]}


def make_report(
  scored: Scored,
  *,
  facts: Mapping[str, Any],
  labels: Labels | None = None,
  sources: Sequence[str] = (),
  more: ClassOnly | None = None,
) -> dict[str, Any]:
  """Makes the content of report.json: `facts` first, then every number.

  With labels, and an image whose class is known, there are also
  `classification` (`classification.summarise` of those images, with the
  `temperature`, and where that is not 1 with ECE and Brier score before as
  `uncalibrated`), `classification_oracle_mask` (the same with the reference
  masks, and a `note` that it is no result) and, in `per_image`, `label` and
  `probs` of each of them. With findings there are instead `findings`
  (`findings.summarise`) and in `per_image` `findings`, those stated, and
  `finding_probs`. With structures there is a summary of each under
  `structures`, in `per_image` too, and no `paper_compat`. Images whose spacing
  is known have `measurements` in `per_image`. Of a combined data
  set there are the same numbers `by_source`, and `classification.source_only`.

  Args:
    scored: the measured images.
    facts: what the numbers describe (dataset, split, seed, parameters, ...).
    labels: the images' classes, if they were classified.
    sources: the data set of each image, where they come from several.
    more: images without masks. They count in `classification` or `findings`,
      and are listed under `class_only` as others are in `per_image`.

  Raises:
    ValueError: not one label for each image.
  """
  sources = sources if len(set(sources)) > 1 else ()
  blocks: dict[str, Any] = {
    "structures": {
      name: statistics.summarise(rows)
      for name, rows in scored.structures.items()
    }
  }
  classified, of_images, by_source = _classification(
    scored, labels, sources, more=more
  )
  blocks |= classified
  if sources:
    parts = by_dataset.segmentation(
      sources, per_image=scored.per_image, structures=scored.structures
    )
    blocks["by_source"] = {
      name: {**part, **by_source.get(name, {})} for name, part in parts.items()
    }
  blocks["paper_compat"] = scored.paper_compat
  if more is not None:
    blocks["class_only"] = [
      {"id": name, **of_images.get(i, {})}
      for i, name in enumerate(more.ids, len(scored.ids))
    ]
  return {
    **facts,
    "n": len(scored.ids),
    "segmentation": statistics.summarise(scored.per_image),
    "pooled": scored.pooled,
    **{name: block for name, block in blocks.items() if block},
    "per_image": [
      {"id": name, **_row(scored, i), **of_images.get(i, {})}
      for i, name in enumerate(scored.ids)
    ],
  }


def _row(scored: Scored, i: int) -> dict[str, Any]:
  """One image's values: the headline's, each structure's, measurements."""
  apart = {
    "structures": {name: rows[i] for name, rows in scored.structures.items()},
    "measurements": scored.measured.get(scored.ids[i], {}),
  }
  return {**scored.per_image[i], **{k: v for k, v in apart.items() if v}}


def _classification(
  scored: Scored,
  labels: Labels | None,
  sources: Sequence[str],
  *,
  more: ClassOnly | None,
) -> tuple[dict[str, Any], dict[int, dict[str, Any]], dict[str, Any]]:
  """The report's two blocks, and what to add to each image and data set."""
  if labels is None or scored.logits is None:
    return {}, {}, {}
  label, names = np.asarray(labels.label), labels.class_names
  if not len(scored.logits) == len(label) == len(scored.ids):
    raise ValueError(
      f"{len(scored.ids)} images need as many logits, not "
      f"{len(scored.logits)}, and labels, not {len(label)}"
    )
  logits = scored.logits
  if more is not None:
    logits = np.concatenate([logits, more.logits])
    label = np.concatenate([label, more.label])
    sources = [*sources, *more.sources] if sources else sources
    patients = [*labels.patients, *more.patients]
    labels = dataclasses.replace(labels, label=label, patients=patients)
  if labels.multi_label:
    return *_findings(logits, labels), {}
  labelled = np.flatnonzero(label >= 0)
  if not len(labelled):
    return {}, {}, {}
  scale = {"temperature": float(labels.temperature)}

  def summary(
    logits: np.ndarray, label: np.ndarray
  ) -> tuple[np.ndarray, dict[str, Any]]:
    known = label >= 0
    probs = classification.posterior(logits[known], **scale)
    values = classification.summarise(probs, label[known], class_names=names)
    return probs, {**scale, **values}

  probs, block = summary(logits, label)
  with_mask = label[: len(scored.ids)]
  label = label[labelled]
  if labels.temperature != 1:
    raw = classification.posterior(logits[labelled])
    block["uncalibrated"] = classification.calibration(raw, label)
  block["positive_class"] = labels.positive or names[-1]
  blocks = {"classification": block}
  if scored.oracle_logits is not None and (with_mask >= 0).any():
    _, found = summary(scored.oracle_logits, with_mask)
    oracle = {"note": _ORACLE, **found}
    blocks["classification_oracle_mask"] = oracle
  by_source = {}
  if sources:
    true = {"label": label, "class_names": names}
    of = [sources[int(i)] for i in labelled]
    block["source_only"] = by_dataset.source_only(of, **true)
    each = by_dataset.diagnosis(of, probs=probs, **true)
    by_source = {name: {"classification": part} for name, part in each.items()}
  of_images = {
    int(i): {"label": names[c], "probs": dict(zip(names, row.tolist()))}
    for i, c, row in zip(labelled, label, probs)
  }
  return blocks, of_images, by_source


def _findings(
  logits: np.ndarray, labels: Labels
) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
  """The report's block, and what to add to each image."""
  probs, names = (
    classification.posterior(logits, multi_label=True),
    labels.class_names,
  )
  if not (labels.label >= 0).any():
    return {}, {}
  block = findings.summarise(
    probs,
    labels.label,
    names=names,
    patients=labels.patients,
    least=labels.least_positives,
  )
  of_images = {
    i: {
      "findings": {n: int(v) for n, v in zip(names, stated) if v >= 0},
      "finding_probs": dict(zip(names, row.tolist())),
    }
    for i, (stated, row) in enumerate(zip(labels.label, probs))
  }
  return {"findings": block}, of_images


def pick_cases(
  model: Model, scored: Scored, source: Source
) -> list[figures.Case]:
  """The best, median and worst image by Dice, with all outputs of S."""
  order = np.argsort([-m["dice"] for m in scored.per_image], kind="stable")
  chosen = {"best": order[0], "median": order[len(order) // 2]}
  chosen["worst"] = order[-1]
  # As many images as in every other batch: no other shape is compiled.
  rows = np.resize(list(chosen.values()), max(3, model.batch_size))
  part = source.take(rows)
  output = jax.tree.map(np.asarray, model.segment(part.image))

  def planes(x: np.ndarray) -> np.ndarray:
    """[..., k]; without structures the one plane."""
    return x if scored.structures else x[..., 0]

  cases = []
  for row, (kind, i) in enumerate(chosen.items()):
    prob = planes(special.expit(output.logits[row]))
    cases.append(
      figures.Case(
        id=scored.ids[i],
        kind=kind,
        metrics=scored.per_image[i],
        image=grey_levels.unit(part.image[row, ..., 0]),
        mask=planes(part.mask[row].astype(bool)),
        prob=prob,
        prediction=model.binarize(prob),
        side_probs=[special.expit(planes(s[row])) for s in output.side_logits],
        attention={k: a[row, ..., 0] for k, a in output.attention.items()},
        structures=tuple(scored.structures),
      )
    )
  return cases
