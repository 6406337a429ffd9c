"""The one room that reads config.*: from knobs to the parts of a run."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from apppau_jax.batch import Batch
from apppau_jax.data import augment, examples, manifest, order, splits
from apppau_jax.data import prepare as prepare_lib
from apppau_jax.errors import CheckpointError, ConfigError, DataError
from apppau_jax.evaluation import evaluate, figures
from apppau_jax.losses import (
  cross_entropy,
  cross_entropy_tversky,
  dice,
  kl_tversky,
  objectives,
  tversky,
)
from apppau_jax.models import segmentor as segmentor_lib
from apppau_jax.training import checkpoints, loop, optimizers, parallel, steps
from apppau_jax.training import state as state_lib

Config = Any  # ml_collections.ConfigDict, checked by launch.schema


def segmentor(config: Config) -> segmentor_lib.Segmentor:
  """The network S."""
  return segmentor_lib.from_preset(
    config.model.preset,
    base_width=config.model.base_width,
    dtype=jnp.dtype(config.model.dtype),
  )


def loss(config: Config) -> objectives.LossFn:
  """The segmentation loss, `[b, h, w, k]` twice to `[b]`."""
  knobs = config.loss
  weights = {"fp_weight": knobs.fp_weight, "fn_weight": knobs.fn_weight}
  overlap = {**weights, "smooth": knobs.smooth}
  match knobs.name:
    case "tversky":
      return functools.partial(tversky.tversky_loss, **overlap)
    case "dice":
      return functools.partial(dice.dice_loss, smooth=knobs.smooth)
    case "cross_entropy":
      return cross_entropy.cross_entropy_loss
    case "cross_entropy_tversky":
      return functools.partial(
        cross_entropy_tversky.cross_entropy_tversky_loss,
        cross_entropy_weight=knobs.cross_entropy_weight,
        tversky_weight=knobs.tversky_weight,
        **overlap,
      )
    case "kl_tversky":
      return functools.partial(
        kl_tversky.kl_tversky_loss,
        kl_weight=knobs.kl_weight,
        tversky_weight=knobs.tversky_weight,
        channels=knobs.kl_channels,
        eps=knobs.kl_eps,
        **overlap,
      )
  raise ConfigError(f"config.loss.name={knobs.name!r} is unknown.")


def objective(config: Config) -> steps.Objective:
  """What S minimises."""
  loss_fn = loss(config)
  weights = tuple(config.loss.side_weights) or None

  def segmentation(output: segmentor_lib.SegmentorOutput, batch: Batch):
    return objectives.segmentation_objective(
      output.side_logits,
      batch.mask,
      has_mask=batch.has_mask,
      loss_fn=loss_fn,
      weights=weights,
      side_target=config.loss.side_target,
    )

  return segmentation


def normalize(config: Config) -> Callable[[jax.Array], jax.Array]:
  """Grey levels to what the networks see."""
  return functools.partial(augment.normalize, method=config.data.normalize)


def prepare(config: Config) -> steps.Prepare:
  """Normalises and augments a batch of uint8 images and their masks."""
  spec = augment.Augmentation(**config.augment.to_dict())
  last = normalize(config)
  # Augmentation works on [0, 1]; a z-score is taken of its result.
  zscore = config.data.normalize == "zscore"
  first = augment.normalize if zscore else last

  def prepare_batch(key: jax.Array, batch: Batch) -> Batch:
    image, mask = augment.augment(
      key, first(batch.image), batch.mask.astype(jnp.float32), spec=spec
    )
    image = last(image) if zscore else image
    return dataclasses.replace(batch, image=image, mask=mask)

  return prepare_batch


def catalogue(config: Config) -> examples.Catalogue:
  """What is prepared of the data set."""
  return examples.read_catalogue(
    config.data.data_dir,
    dataset=config.data.dataset,
    resolution=config.data.resolution,
  )


def content_sha256(config: Config) -> str:
  """Checksum of the prepared examples, equal wherever they were prepared."""
  folder = prepare_lib.prepared_folder(
    config.data.data_dir,
    dataset=config.data.dataset,
    resolution=config.data.resolution,
  )
  return (manifest.read(folder) or {}).get("content_sha256", "unknown")


def split(config: Config, known: examples.Catalogue) -> splits.Split:
  """Which images train, labelled or not, validate and test."""
  entries = [e for e in known.entries if e.has_mask]
  return splits.make_split(
    config.data.split,
    dataset=config.data.dataset,
    ids=[e.id for e in entries],
    labels={e.id: e.label for e in entries},
    groups={e.id: e.patient for e in entries},
    seed=config.data.split_seed,
    label_fraction=config.data.label_count or config.data.label_fraction,
    label_seed=config.data.label_seed,
  )


def load(config: Config, ids) -> examples.Examples:
  """The named images with their masks, in memory."""
  if not ids:
    raise DataError(
      f"No image of {config.data.dataset} is at hand for this part of split "
      f"'{config.data.split}' in {config.data.data_dir}; prepare the files "
      "that launch.prepare_data lists as missing, or choose another "
      "--config.data.split."
    )
  return examples.load_examples(
    config.data.data_dir,
    dataset=config.data.dataset,
    resolution=config.data.resolution,
    ids=ids,
  )


def to_batch(loaded: examples.Examples) -> Batch:
  """Examples as a resident batch."""
  return Batch(
    image=jnp.asarray(loaded.image),
    mask=jnp.asarray(loaded.mask),
    label=jnp.asarray(loaded.label),
    has_mask=jnp.asarray(loaded.has_mask),
    has_label=jnp.asarray(loaded.has_label),
  ).check()


def plan(config: Config, *, size: int) -> loop.Plan:
  """Lengths in steps of a run over `size` training images."""
  per_epoch = order.steps_per_epoch(size, config.train.batch_size)
  return loop.Plan(
    steps=config.train.epochs * per_epoch,
    steps_per_epoch=per_epoch,
    log_every=config.train.log_every,
    eval_every=config.train.eval_every_epochs * per_epoch,
  )


def schedule(config: Config, lengths: loop.Plan) -> optax.Schedule:
  """Learning rate by step."""
  warmup = round(config.optim.warmup_epochs * lengths.steps_per_epoch)
  return optimizers.make_schedule(
    config.optim.schedule,
    learning_rate=config.optim.learning_rate,
    steps=lengths.steps,
    warmup_steps=min(warmup, lengths.steps - 1),
  )


def optimizer(
  config: Config, rate: optax.Schedule
) -> optax.GradientTransformation:
  """S's optimiser."""
  return optimizers.make_optimizer(
    schedule=rate,
    b1=config.optim.b1,
    b2=config.optim.b2,
    weight_decay=config.optim.weight_decay,
    grad_clip=config.optim.grad_clip,
  )


def example_image(config: Config) -> jax.Array:
  """A blank image of the network's input shape `[1, h, w, 1]`."""
  side = config.data.resolution
  return jnp.zeros((1, side, side, 1), jnp.float32)


def predict(config: Config, *, final: bool = False) -> evaluate.Predict:
  """S in inference mode, compiled; `final` adds the test-time augmentation."""
  views = steps.VIEWS if final and config.eval.test_time_augmentation else ()
  return parallel.compile_predict(
    steps.make_predict_step(
      segmentor(config), prepare=normalize(config), views=views
    )
  )


def options(config: Config) -> evaluate.Options:
  """How probabilities become masks."""
  return evaluate.Options(
    threshold=config.eval.threshold,
    largest_components=config.eval.largest_components,
    batch_size=config.eval.batch_size,
  )


def store(
  workdir: pathlib.Path, name: str, *, read_only: bool = False
) -> checkpoints.Store:
  """The `latest` or the `best` checkpoints of a run."""
  folder = workdir / "checkpoints" / name
  return checkpoints.Store(folder, read_only=read_only)


def evaluate_fn(config: Config, loaded: examples.Examples) -> loop.EvaluateFn:
  """Validation during training: mean lung Dice and a few overlays."""
  infer, how = predict(config), options(config)
  truth = loaded.mask[..., 0].astype(bool)

  def validate(state: state_lib.TrainState):
    prob = evaluate.predict_probs(
      infer, state.segmentor.ema, loaded.image, batch_size=how.batch_size
    )[..., 0]
    found = evaluate.binarize(prob, options=how)
    values = evaluate.dice(found, truth)
    pictures = [
      figures.overlay(image / 255.0, mask=mask, prediction=prediction)
      for image, mask, prediction in zip(loaded.image[:4, ..., 0], truth, found)
    ]
    return (
      {"dice": float(values.mean()), "dice_worst": float(values.min())},
      {"validation/overlay": np.concatenate(pictures, axis=1)},
    )

  return validate


def init(
  config: Config, transform: optax.GradientTransformation
) -> state_lib.TrainState:
  """A fresh state; trace or compile it, it is slow otherwise."""
  key = jax.random.key(config.seed)
  player = state_lib.init_player(
    segmentor(config), example_image(config), key=key, optimizer=transform
  )
  return state_lib.TrainState(step=jnp.int32(0), segmentor=player)


def run(
  config: Config,
  parts: splits.Split,
  *,
  workdir: pathlib.Path,
  meta: Mapping[str, Any],
) -> tuple[loop.Run, state_lib.TrainState]:
  """Everything `loop.run` needs, and the state to start from."""
  mesh = parallel.make_mesh(batch_size=config.train.batch_size)
  training = load(config, parts.train_labelled)
  lengths = plan(config, size=len(training.ids))
  rate = schedule(config, lengths)
  transform = optimizer(config, rate)
  step = steps.make_train_step(
    segmentor(config),
    objective=objective(config),
    optimizer=transform,
    prepare=prepare(config),
    ema_decay=config.optim.ema_decay,
    seed=config.seed,
  )
  state = parallel.compile_init(lambda: init(config, transform), mesh)
  return loop.Run(
    plan=lengths,
    train_step=parallel.compile_train_step(step, mesh),
    resident=parallel.replicate(to_batch(training), mesh),
    order=lambda t: order.batch_indices(
      seed=config.seed,
      step=t,
      size=len(training.ids),
      batch_size=config.train.batch_size,
    ),
    ids=training.ids,
    evaluate_fn=evaluate_fn(config, load(config, parts.validation)),
    learning_rate=rate,
    latest=store(workdir, "latest"),
    best=store(workdir, "best"),
    meta=meta,
    workdir=workdir,
  ), state


def trained(
  config: Config, *, workdir: pathlib.Path
) -> tuple[state_lib.Variables, int]:
  """The averaged weights that `eval.checkpoint` names, and their step.

  Raises:
    CheckpointError: nothing usable was saved there yet.
  """
  mesh = parallel.make_mesh(batch_size=1, devices=jax.devices()[:1])
  # Of the optimiser only the structure matters here, not its rates.
  transform = optimizer(config, optax.constant_schedule(0.0))
  target = parallel.shapes(lambda: init(config, transform), mesh)
  name = config.eval.checkpoint
  if not (workdir / "checkpoints" / name).is_dir():
    raise _untrained(workdir, name)
  saved = store(workdir, name, read_only=True)
  found = saved.restore(target.segmentor.ema if name == "best" else target)
  saved.close()
  if found is None:
    raise _untrained(workdir, name)
  tree, _, step = found
  return tree if name == "best" else tree.segmentor.ema, step


def _untrained(workdir: pathlib.Path, name: str) -> CheckpointError:
  return CheckpointError(
    f"{workdir} holds no '{name}' checkpoint yet; train with "
    f"`python -m launch.train --config=... --workdir={workdir}` first."
  )
