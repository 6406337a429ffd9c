"""Compiles a run's programs in another process, which leaves them in the cache.

XLA's compiler takes and frees memory in a great many small pieces. A process
that keeps what it frees (`runtime`) has to search among them at every step from
then on, and a step takes up to half as long again as in one that read its
programs from the cache (results/archive/performance.md).

  python -m apppau_jax.experiment.precompile < config.json  # by `rehearse`
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from apppau_jax import runtime

if TYPE_CHECKING:
  from apppau_jax.experiment.data import Parts
  from apppau_jax.experiment.networks import Config

_WORTH = 100  # steps of a run that is long enough to gain by it
# Decide nothing that is compiled, beside how many images there are.
_FREE = ("seed", "data.data_dir", "data.label_seed", "data.split_seed")


def rehearse(config: "Config", chosen: "Parts", *, steps: int) -> None:
  """Compiles what a run of `steps` steps needs, where that is worth it.

  If it fails nothing is lost: the run compiles for itself, and says why.
  """
  from apppau_jax.experiment import schema
  from apppau_jax.training import trace_cache

  if steps < _WORTH or not runtime.wants_memory():
    return
  tree = json.loads(json.dumps(config.to_dict()))
  told = {k: v for k, v in schema.flatten(tree).items() if k not in _FREE}
  sizes = [len(ids) for ids in chosen.split.as_dict().values()]
  mark = trace_cache.mark(["rehearsal", told, sizes])
  if mark is None or mark.exists():
    return
  print("compiling, once, in a process of its own", file=sys.stderr)
  done = subprocess.run(
    [sys.executable, "-m", "apppau_jax.experiment.precompile"],
    input=json.dumps(tree),
    text=True,
    env={**os.environ, "GLIBC_TUNABLES": ""},  # it trains nothing
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    check=False,
  )
  if done.returncode == 0:
    with contextlib.suppress(OSError):
      mark.touch()


def main() -> None:
  """One step, one validation and one final look, of the run on stdin."""
  tree = json.load(sys.stdin)
  runtime.set_up()
  import ml_collections

  from apppau_jax.experiment import data, loading
  from apppau_jax.experiment.assemble import assemble
  from apppau_jax.training import loop

  config = ml_collections.ConfigDict(tree)
  chosen = data.parts(config, data.catalogue(config))
  with tempfile.TemporaryDirectory() as folder:
    parts, state = assemble(
      config, chosen, workdir=pathlib.Path(folder), meta={}
    )
    with contextlib.closing(parts.feed(0)) as feed:
      state, _ = loop.advance(parts, state, *next(feed))
    parts.evaluate_fn(state)
    member = loading.member(config, state.averages, final=True)
    model = loading.model(config, [member])
    source = data.load(config, chosen.split.validation)
    next(model.batches(source, oracle=True))
    parts.latest.close()
    parts.best.close()


if __name__ == "__main__":
  main()
