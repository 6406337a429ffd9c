"""From images and a trained segmentor to numbers and the cases to look at."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from scipy import special

from apppau_jax.datasets.examples import Source
from apppau_jax.imaging import grey_levels
from apppau_jax.inference import batched_inference
from apppau_jax.metrics import (
  by_dataset,
  classification,
  masks,
  paper_compat,
  statistics,
)
from apppau_jax.reports import figures

_ORACLE = (
  "Diagnostic only, not a result: D was shown the true masks, which nobody has"
  " of a new patient."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
  """A part of a data set, segmented and measured.

  Attributes:
    ids: the images' names.
    per_image: one mapping of metric to value each; with structures their mean
      over the structures.
    structures: the same of each structure by its name; empty for the lungs.
    paper_compat: see `paper_compat`; empty with structures.
    packed: `[n, h, w / 8]` uint8, the predicted lungs as `numpy.packbits` has
      them; empty with structures.
    logits: `[n, c + 1]` of D(x, S(x)), c classes; None without D.
    oracle_logits: `[n, c + 1]` of D(x, true mask).
  """

  ids: tuple[str, ...]
  per_image: list[dict[str, float]]
  structures: Mapping[str, list[dict[str, float]]]
  paper_compat: Mapping[str, float]
  packed: np.ndarray
  logits: np.ndarray | None = None
  oracle_logits: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diagnosis:
  """What D said of the images of a `Scored`, in its order.

  Attributes:
    logits: `[n, k + 1]` of D(x, S(x)), k classes, the fake class last.
    label: `[n]` true class in 0..k-1; -1 where unknown.
    class_names: the k names.
    temperature: of `classification.posterior`, from validation images.
    oracle_logits: `[n, k + 1]` of D(x, true mask), if it was asked.
  """

  logits: np.ndarray
  label: np.ndarray
  class_names: Sequence[str]
  temperature: float = 1.0
  oracle_logits: np.ndarray | None = None


def score(
  players: batched_inference.Players,
  variables: Mapping[str, Any],
  source: Source,
  *,
  options: batched_inference.Options,
  structures: Sequence[str] = (),
) -> Scored:
  """Segments, measures and diagnoses n images, a batch at a time.

  Args:
    players: the compiled networks.
    variables: their weights by player.
    source: the images with their masks.
    options: how probabilities become masks.
    structures: names of the masks; none for the united lungs.
  """
  rows: list[list[dict[str, float]]] = []  # [n] [k]
  tallies, packed, logits, oracle = [], [], [], []
  for seen in batched_inference.look(
    players, variables, source, options=options, oracle=True
  ):
    for found, mask in zip(seen.found, seen.mask):
      planes = zip(np.moveaxis(found, -1, 0), np.moveaxis(mask, -1, 0))
      rows.append([masks.segmentation_metrics(*pair) for pair in planes])
      if not structures:
        tallies.append(paper_compat.tally(found[..., 0], mask[..., 0]))
    if not structures:
      packed.append(np.packbits(seen.found[..., 0], axis=-1))
    logits.append(seen.logits)
    oracle.append(seen.oracle_logits)
  diagnosed = {}
  if players.diagnose is not None:
    diagnosed["logits"] = np.concatenate(logits)
    diagnosed["oracle_logits"] = np.concatenate(oracle)
  return Scored(
    ids=tuple(source.ids),
    per_image=[_mean(row) if structures else row[0] for row in rows],
    structures={
      name: [row[k] for row in rows] for k, name in enumerate(structures)
    },
    paper_compat=paper_compat.of_tallies(tallies) if tallies else {},
    packed=np.concatenate(packed) if packed else np.empty(0, np.uint8),
    **diagnosed,
  )


def _mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
  return {name: float(np.mean([v[name] for v in values])) for name in values[0]}


def make_report(
  scored: Scored,
  *,
  facts: Mapping[str, Any],
  diagnosis: Diagnosis | None = None,
  of: Sequence[str] = (),
) -> dict[str, Any]:
  """What report.json holds: `facts` first, then every number.

  With a diagnosis, and an image whose class is known, there are also
  `classification` (`classification.summarise` of those images, with the
  `temperature`), `classification_oracle_mask` (the same with the true masks,
  with a `note` that it is no result; None if not asked) and, in `per_image`,
  `label` and `probs` of each of them. With structures there is a summary of
  each under `structures`, in `per_image` too, and no `paper_compat`. Of a
  combination there are the same numbers `by_source`, and
  `classification.source_only`.

  Args:
    scored: the measured images.
    facts: what the numbers are of (dataset, split, seed, parameters, ...).
    diagnosis: what D said of the same images.
    of: the data set of each image, where they come from several.

  Raises:
    ValueError: not one label and one row of logits for each image.
  """
  diagnosed, classes, by_source = _classification(scored, diagnosis, of)
  if len(set(of)) > 1:
    parts = by_dataset.segmentation(
      of, per_image=scored.per_image, structures=scored.structures
    )
    by_source = {
      name: {**part, **by_source.get(name, {})} for name, part in parts.items()
    }
  blocks = {
    "structures": {
      name: statistics.summarise(rows)
      for name, rows in scored.structures.items()
    },
    **diagnosed,
    "by_source": by_source,
    "paper_compat": scored.paper_compat,
  }
  return {
    **facts,
    "n": len(scored.ids),
    "segmentation": statistics.summarise(scored.per_image),
    **{name: block for name, block in blocks.items() if block != {}},
    "per_image": [
      {"id": name, **_row(scored, i), **classes.get(i, {})}
      for i, name in enumerate(scored.ids)
    ],
  }


def _row(scored: Scored, i: int) -> dict[str, Any]:
  """One image's values: the headline's, then each structure's."""
  apart = {name: rows[i] for name, rows in scored.structures.items()}
  return {**scored.per_image[i], **({"structures": apart} if apart else {})}


def _classification(
  scored: Scored, diagnosis: Diagnosis | None, of: Sequence[str]
) -> tuple[dict[str, Any], dict[int, dict[str, Any]], dict[str, Any]]:
  """The report's two blocks, what to add to which image and to which set."""
  if diagnosis is None or not (np.asarray(diagnosis.label) >= 0).any():
    return {}, {}, {}
  label, names = np.asarray(diagnosis.label), diagnosis.class_names
  known = np.flatnonzero(label >= 0)

  def judge(logits: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    if not len(logits) == len(label) == len(scored.ids):
      raise ValueError(
        f"{len(scored.ids)} images need as many logits, not {len(logits)}, and"
        f" labels, not {len(label)}"
      )
    kept = {"temperature": float(diagnosis.temperature)}
    probs = classification.posterior(logits[known], **kept)
    values = classification.summarise(probs, label[known], class_names=names)
    return probs, {**kept, **values}

  probs, block = judge(diagnosis.logits)
  oracle = diagnosis.oracle_logits
  if oracle is not None:
    oracle = {"note": _ORACLE, **judge(oracle)[1]}
  by_source = {}
  if len(set(of)) > 1:
    told = {"label": label[known], "class_names": names}
    of = [of[int(i)] for i in known]
    block["source_only"] = by_dataset.source_only(of, **told)
    each = by_dataset.diagnosis(of, probs=probs, **told)
    by_source = {name: {"classification": part} for name, part in each.items()}
  classes = {
    int(i): {"label": names[label[i]], "probs": dict(zip(names, row.tolist()))}
    for i, row in zip(known, probs)
  }
  blocks = {"classification": block, "classification_oracle_mask": oracle}
  return blocks, classes, by_source


def pick_cases(
  players: batched_inference.Players,
  variables: Mapping[str, Any],
  scored: Scored,
  source: Source,
  *,
  options: batched_inference.Options,
) -> list[figures.Case]:
  """The best, median and worst image by Dice, with all that S said of them."""
  order = np.argsort([-m["dice"] for m in scored.per_image], kind="stable")
  chosen = {"best": order[0], "median": order[len(order) // 2]}
  chosen["worst"] = order[-1]
  rows = np.resize(list(chosen.values()), max(3, options.batch_size))
  part = source.take(rows)
  output = players.predict(variables["segmentor"], part.image)
  output = jax.tree.map(np.asarray, output)
  names = tuple(scored.structures)

  def planes(x: np.ndarray) -> np.ndarray:
    """[..., k]; without structures the one plane."""
    return x if names else x[..., 0]

  cases = []
  for row, (kind, i) in enumerate(chosen.items()):
    prob = special.expit(output.logits[row])
    found = [
      batched_inference.binarize(p[None], options=options)[0]
      for p in np.moveaxis(prob, -1, 0)
    ]
    cases.append(
      figures.Case(
        id=scored.ids[i],
        kind=kind,
        metrics=scored.per_image[i],
        image=grey_levels.unit(part.image[row, ..., 0]),
        mask=planes(part.mask[row].astype(bool)),
        prob=planes(prob),
        prediction=planes(np.stack(found, axis=-1)),
        side_probs=[special.expit(planes(s[row])) for s in output.side_logits],
        attention={k: a[row, ..., 0] for k, a in output.attention.items()},
        structures=names,
      )
    )
  return cases
