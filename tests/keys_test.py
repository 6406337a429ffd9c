"""A mistyped name is answered with the one that was meant."""

import pytest

from apppau_jax.config import KEYS
from apppau_jax.keys import did_you_mean, nearest
from apppau_jax.losses import LOSSES
from apppau_jax.models.segmentor import PRESETS


@pytest.mark.parametrize(
  ("mistake", "meant"),
  [
    # Abbreviations, with and without their section.
    ("optim.lr", "optim.learning_rate"),
    ("lr", "optim.learning_rate"),
    ("discriminator.lr", "discriminator.learning_rate"),
    ("disc.lr", "discriminator.learning_rate"),
    ("bs", "train.batch_size"),
    ("eval.bs", "eval.batch_size"),
    ("wd", "optim.weight_decay"),
    ("eval.tta", "eval.test_time_augmentation"),
    # Typing errors.
    ("optim.lerning_rate", "optim.learning_rate"),
    ("weightdecay", "optim.weight_decay"),
    ("consistency.cut_mix", "consistency.cutmix"),
    ("consistency.treshold", "consistency.threshold"),
    ("data.normalise", "data.normalize"),
    ("Model.Preset", "model.preset"),
    ("sed", "seed"),
    # Parts of names.
    ("epoch", "train.epochs"),
    ("train.n_epochs", "train.epochs"),
    ("width", "model.base_width"),
    ("warmup", "optim.warmup_epochs"),
    ("optim.warm_up", "optim.warmup_epochs"),
    ("optim.clip", "optim.grad_clip"),
    ("ema", "optim.ema_decay"),
    ("augment.rotation", "augment.rotate_degrees"),
    ("eval_every", "train.eval_every_epochs"),
    ("loss", "loss.name"),
    ("train", ""),
    # Another section, or a mistyped one.
    ("optimiser.learning_rate", "optim.learning_rate"),
    ("train.learning_rate", "optim.learning_rate"),
    ("optim_learning_rate", "optim.learning_rate"),
    ("optim.epochs", "train.epochs"),
    ("data.class_weight", "discriminator.class_weight"),
    ("discriminator.b2", "optim.b2"),
    # Nothing alike: no hint is better than a wrong one.
    ("optim.foo", ""),
    ("train.gpus", ""),
    ("image_size", ""),
    ("x", ""),
    ("", ""),
  ],
)
def test_the_nearest_key(mistake, meant):
  assert nearest(mistake, KEYS) == meant


def test_hints_for_choices():
  assert did_you_mean("tverski", LOSSES) == " Did you mean tversky?"
  assert nearest("ppau", PRESETS) == "ppau_unet"
  assert nearest("kltv", LOSSES) == "kl_tversky"
  assert did_you_mean("resnet", PRESETS) == ""
  assert nearest("anything", []) == ""
