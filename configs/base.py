"""Every knob, with its unit, source and default; experiments are deltas.

`apppau_jax/experiment/schema.py` holds the type and range of each; a test keeps
the two in step. "paper" means arXiv 1908.03693 as docs/paper.md reads it.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  config.seed = 0  # of initialisation, order and augmentation

  config.data = ml_collections.ConfigDict()
  # montgomery | shenzhen | jsrt | ccx | phantom | folder | folder:NAME | a+b
  config.data.dataset = "phantom"
  config.data.data_dir = "data"  # where launch.prepare_data put it
  config.data.resolution = 128  # pixels a side; the paper's
  config.data.bits = 8  # of a prepared grey level; 16 as prepared with --bits
  config.data.class_names = ()  # (): as prepared; a run on a folder fills it in
  # paper | idiap | given | auto (given where the set gives one) | fold-k-of-n
  config.data.split = "paper"
  config.data.split_seed = 0  # of the paper and fold splits
  config.data.label_fraction = 1.0  # of the training part; .1 in the paper
  config.data.label_count = 0  # exact number instead; 0: the fraction
  config.data.label_seed = 0  # which of them are labelled
  config.data.class_fraction = 0.0  # whose class is known; 0: as the masks
  config.data.class_count = 0  # exact number instead; 0: the fraction
  config.data.unmasked_images = False  # train on images without masks too
  config.data.structures = ()  # names of masks kept apart; () united lungs
  config.data.streaming = False  # True: from disk as wanted, not in memory
  config.data.normalize = "minmax"  # minmax (paper) | percentile
  config.data.accept = ()  # errors of launch.verify_data: check or check:id

  config.model = ml_collections.ConfigDict()
  config.model.preset = "ppau_unet"  # the eight of models/segmentor.py
  config.model.base_width = 32  # channels at full resolution
  config.model.norm = "batch"  # batch (paper) | group: for a single mask
  config.model.dtype = "float32"  # float32 | bfloat16, of the convolutions
  config.model.remat = False  # compute blocks twice, keep less memory
  config.model.convolutions = "auto"  # oneDNN's on one CPU, or "xla", "onednn"

  config.loss = ml_collections.ConfigDict()
  config.loss.name = "kl_tversky"  # tversky | dice | cross_entropy | ...
  config.loss.fp_weight = 0.3  # alpha of eq. (4)
  config.loss.fn_weight = 0.7  # beta of eq. (4), "weighs FN higher"
  config.loss.smooth = 1e-6  # epsilon of eq. (4), pixels
  config.loss.kl_weight = 0.2  # a; .2 puts KL level with cross-entropy
  config.loss.kl_channels = "both"  # both | roi (the literal equation)
  config.loss.kl_eps = 1e-3  # smoothing of the binary target
  config.loss.tversky_weight = 1.0  # b
  config.loss.cross_entropy_weight = 1.0  # of cross_entropy_tversky
  config.loss.side_weights = ()  # w_i of eq. (1), coarse to fine; () = 2^i
  config.loss.side_target = "hard"  # hard (binary) | soft (area fraction)

  config.discriminator = ml_collections.ConfigDict()  # D, the other player
  config.discriminator.enabled = False  # True: two players, Algorithm 1
  config.discriminator.base_width = 32  # channels of its first stage
  config.discriminator.repeats = 1  # convolutions a stage
  config.discriminator.norm = "batch"  # batch | group | spectral
  config.discriminator.pooling = "mean"  # mean | mean_max
  config.discriminator.class_input = "pair"  # pair (paper) | image, no mask
  config.discriminator.dropout = 0.4  # the paper's
  config.discriminator.learning_rate = 1e-4  # the paper's
  config.discriminator.b1 = 0.9  # the paper's "momentum 0.9"
  config.discriminator.weight_decay = 0.0  # decoupled
  config.discriminator.grad_clip = 0.0  # global norm; 0 off
  config.discriminator.class_weight = 1.0  # of eq. (6)
  config.discriminator.real_weight = 0.5  # of eq. (7)
  config.discriminator.fake_weight = 0.5  # of eq. (8)
  config.discriminator.predicted_weight = 0.0  # of the class of (x, S(x))
  config.discriminator.consistency_weight = 0.0  # of unlabelled (x, S(x))
  config.discriminator.conditional = True  # eq. (6) over n classes, not n + 1
  config.discriminator.mask_smoothing = 0.0  # real masks are s and 1 - s

  config.adversarial = ml_collections.ConfigDict()  # c L_adv of eq. (3)
  config.adversarial.form = "nonsaturating"  # eq. (5) | saturating | ...
  config.adversarial.weight = 0.01  # c on labelled images
  config.adversarial.unlabelled_weight = 0.01  # c on the others
  config.adversarial.ramp_up = 0.0  # fraction of the run until c is whole

  config.consistency = ml_collections.ConfigDict()  # of unlabelled images
  config.consistency.name = "none"  # none | one of semi.METHODS
  config.consistency.weight = 1.0  # S's; D's stands with D
  config.consistency.ramp_up = 0.3  # fraction of the run; S's and D's
  config.consistency.threshold = 0.95  # of a pseudo-label's probability
  config.consistency.teacher = "averaged"  # averaged weights | student
  config.consistency.gamma = 0.6  # of the strong view, as in augment
  config.consistency.contrast = 0.4
  config.consistency.brightness = 0.2
  config.consistency.noise = 0.1
  config.consistency.cutmix = 0.5  # share of the strong views with a box
  config.consistency.cutmix_with = "unlabelled"  # images | labelled ones

  config.augment = ml_collections.ConfigDict()
  config.augment.geometry_probability = 1.0  # share of examples moved at all
  config.augment.rotate_degrees = 0.0  # uniform in +-, degrees
  config.augment.scale = 0.0  # relative, +-
  config.augment.shift = 0.0  # fraction of the side, +-
  config.augment.gamma = 0.0  # log of the exponent, +-
  config.augment.contrast = 0.0  # relative, +-
  config.augment.brightness = 0.0  # of the full range, +-
  config.augment.noise = 0.0  # largest standard deviation

  config.optim = ml_collections.ConfigDict()
  config.optim.learning_rate = 1e-3
  config.optim.schedule = "cosine"  # cosine to 0 | constant (paper)
  config.optim.warmup_epochs = 0.0  # linear rise from 0
  config.optim.b1 = 0.9  # the paper's "momentum 0.9"
  config.optim.b2 = 0.999
  config.optim.weight_decay = 0.0  # decoupled; 0 is Adam (paper)
  config.optim.grad_clip = 0.0  # global norm; 0 off
  config.optim.ema_decay = 0.99  # of the evaluated weights; 0 off (paper)

  config.train = ml_collections.ConfigDict()
  config.train.epochs = 100  # passes over the training images
  config.train.batch_size = 16  # the paper's
  config.train.unlabelled_in_batch = 0  # of them; 8 in the paper's protocol
  config.train.steps_per_call = 0  # 0: 1 on CPU, 50 elsewhere
  config.train.log_every = 10  # steps
  config.train.eval_every_epochs = 5
  config.train.select_by = "dice"  # the best: dice | auroc | dice_auroc

  config.eval = ml_collections.ConfigDict()
  config.eval.checkpoint = "best"  # best by validation Dice | latest (paper)
  config.eval.threshold = 0.5  # of the lung probability
  config.eval.largest_components = 0  # keep this many; 0 keeps all
  config.eval.test_time_augmentation = False  # masks: mean over six views
  config.eval.temperature_scaling = False  # of D's classes, by validation
  config.eval.batch_size = 16
  return config


def lung_recipe() -> ml_collections.ConfigDict:
  """What Montgomery and Shenzhen share, chosen on validation images."""
  config = get_config()
  config.model.preset = "ppau_unet"
  config.model.base_width = 16
  config.loss.name = "cross_entropy_tversky"
  config.loss.fp_weight = 0.5
  config.loss.fn_weight = 0.5
  config.optim.learning_rate = 2e-3
  config.optim.weight_decay = 1e-4
  config.augment.rotate_degrees = 15.0
  config.augment.scale = 0.15
  config.augment.shift = 0.08
  config.augment.geometry_probability = 0.6
  config.augment.gamma = 0.4
  config.augment.contrast = 0.2
  config.augment.brightness = 0.1
  config.eval.test_time_augmentation = True
  return config


def two_players(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """APPAU-Net as Algorithm 1 has it: D beside S, a tenth of the labels."""
  config.data.label_fraction = 0.1
  config.train.unlabelled_in_batch = 8
  config.discriminator.enabled = True
  return config


def semi_supervised(config: ml_collections.ConfigDict):
  """A lung recipe at a tenth of the labels, both players, beyond the paper."""
  config = two_players(config)
  config.discriminator.pooling = "mean_max"
  config.discriminator.class_input = "image"
  config.discriminator.dropout = 0.2
  config.discriminator.learning_rate = 1e-3
  config.discriminator.weight_decay = 0.05
  config.discriminator.grad_clip = 1.0
  config.discriminator.predicted_weight = 1.0
  config.discriminator.consistency_weight = 1.0
  config.discriminator.mask_smoothing = 0.05
  config.adversarial.ramp_up = 0.1
  config.consistency.name = "pseudo_label"
  config.consistency.cutmix = 1.0
  config.consistency.cutmix_with = "labelled"
  return config


def without_adversarial(config: ml_collections.ConfigDict):
  """The same experiment where S does not hear D."""
  config.adversarial.form = "none"
  return config


def without_classes(config: ml_collections.ConfigDict):
  """The same experiment where D tells real pairs from predicted ones only."""
  config.discriminator.class_weight = 0.0
  config.discriminator.predicted_weight = 0.0
  config.discriminator.consistency_weight = 0.0
  return config


def without_discriminator(config: ml_collections.ConfigDict):
  """The same experiment without D: pseudo-labels of masks alone."""
  config.discriminator.enabled = False
  return config


def without_consistency(config: ml_collections.ConfigDict):
  """The same experiment without pseudo-labels: the players alone."""
  config.consistency.name = "none"
  config.discriminator.consistency_weight = 0.0
  return config


def all_labelled(config: ml_collections.ConfigDict):
  """The same experiment with every mask and class: its ceiling."""
  config = without_consistency(config)
  config.train.unlabelled_in_batch = 0
  config.data.label_fraction = 1.0
  return config


def segmentor_alone(config: ml_collections.ConfigDict):
  """The same experiment without D and without unlabelled images."""
  config.discriminator.enabled = False
  config.consistency.name = "none"
  config.train.unlabelled_in_batch = 0
  config.train.select_by = "dice"
  return config


def quick(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Shrinks an experiment to seconds along the same code path."""
  config.model.base_width = 4
  config.discriminator.base_width = 4
  config.train.epochs = 2
  config.train.eval_every_epochs = 1
  config.optim.ema_decay = min(config.optim.ema_decay, 0.5)
  config.optim.warmup_epochs = min(config.optim.warmup_epochs, 1.0)
  return config


def parse_arg(arg: str | None, **defaults) -> ml_collections.ConfigDict:
  """Reads what follows the colon of `--config=file.py:quick,key=value`.

  Args:
    arg: comma-separated flags (`quick`) and `key=value` pairs.
    **defaults: the keys the config takes, with their default values.

  Raises:
    ValueError: a key that this config does not take.
  """
  values = {"quick": False, **defaults}
  for item in filter(None, (arg or "").split(",")):
    key, _, value = item.partition("=")
    if key not in values:
      raise ValueError(
        f"'{key}' is not an argument of this config; it takes "
        f"{', '.join(sorted(values))}"
      )
    values[key] = value != "false" if key == "quick" else value
  return ml_collections.ConfigDict(values)
