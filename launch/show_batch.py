"""Draws what the networks are trained on, before any training.

  python -m launch.show_batch --config=configs/appau_montgomery.py \
    --output=runs/batch.png

Images of the first minibatch as they are prepared and as a step may see them,
with the outline of the mask that goes along where it is known; of the others
the weak view and, where S learns from them, strong ones (without gas, which
lies below what a teacher calls lung, and there is none yet). The draws are the
picture's own, not those of the first step. It shows patients: keep it where
git does not look.
"""

import dataclasses
import pathlib

import numpy as np
from absl import flags
from ml_collections import config_flags

from apppau_jax import runtime
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import schema
from launch import cli

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "configs/NAME.py, or configs/NAME.py:quick"
)
_OUTPUT = flags.DEFINE_string("output", None, "The picture to write, a .png.")
_LABELLED, _UNLABELLED = 6, 4  # images shown, at most
_VIEWS = 3  # of each


def main() -> None:
  """Draws and says where the picture is."""
  if _CONFIG.value is None or not _OUTPUT.value:
    raise ConfigError(
      "Both --config and --output are needed, for instance --config="
      "configs/phantom.py --output=runs/batch.png."
    )
  output = pathlib.Path(_OUTPUT.value).expanduser()
  if output.suffix.lower() != ".png":
    raise ConfigError(f"--output={_OUTPUT.value} must end in .png.")
  schema.check(_CONFIG.value.to_dict())
  runtime.set_up()
  from apppau_jax import files
  from apppau_jax.reports import montage

  content = montage.views(_rows(_CONFIG.value), title="batch")
  output.parent.mkdir(parents=True, exist_ok=True)
  files.write_bytes(output, content["png"])
  print(f"wrote {output}")


def _rows(config):
  """{name of an image: its views}, labelled ones first."""
  import jax

  from apppau_jax.experiment import data, fit, input_pipeline, step
  from apppau_jax.experiment.assemble import plan
  from apppau_jax.experiment.networks import class_names
  from apppau_jax.reports.montage import View

  fit.ensure_phantoms(config)
  known = data.catalogue(config)
  config = data.settled(config, known)
  chosen = data.parts(config, known)
  step.check_players(config, unlabelled=len(chosen.split.train_unlabelled))
  minibatch = np.atleast_2d(
    input_pipeline.minibatches(config, chosen.split)(0)
  )[-1]
  # Each image once, though a single labelled one fills all its rows.
  parts = np.split(minibatch, [step.labelled_rows(config)])
  with_mask, without = (list(dict.fromkeys(rows.tolist())) for rows in parts)
  with_mask, without = with_mask[:_LABELLED], without[:_UNLABELLED]
  loaded = data.load_training(config, chosen).take([*with_mask, *without])
  batch = input_pipeline.to_batch(loaded)
  keys = jax.random.split(jax.random.key(config.seed), _VIEWS)
  prepare = jax.jit(data.prepare(config))
  seen = [prepare(key, batch) for key in keys]
  titles = ["trained on"] * _VIEWS
  semi = step.semi_supervision(config, plan(config, chosen))
  if semi is not None and without:
    titles, weak = ["weak view", *["strong view"] * (_VIEWS - 1)], seen[0]
    first, some = slice(len(with_mask)), slice(len(with_mask), None)
    drawn = (weak.image[first], weak.mask[first])
    seen[1:] = [
      dataclasses.replace(
        batch,
        image=batch.image.at[some].set(
          semi.method.strong_view(
            key, weak.image[some], weak.mask[some], labelled=drawn
          )[0]
        ),
      )
      for key, batch in zip(keys[1:], seen[1:])
    ]
  normal = data.normalize(config)(batch.image)
  seen = [dataclasses.replace(batch, image=normal), *seen]
  names = class_names(config) or known.class_names
  rows = {}
  for i, name in enumerate(loaded.ids):
    own = titles if i >= len(with_mask) else ["trained on"] * _VIEWS
    told = names[loaded.label[i]] if loaded.has_label[i] else "class unknown"
    rows[f"{name}\n{told}"] = [
      View(
        title=title,
        image=np.asarray(view.image[i, ..., 0]),
        mask=np.asarray(view.mask[i]) if loaded.has_mask[i] else None,
      )
      for title, view in zip(["as prepared", *own], seen)
    ]
  return rows


if __name__ == "__main__":
  cli.run(main)
