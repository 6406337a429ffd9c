"""The classifier of S's features: its fit, and a run that has one."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import optimize, special
from sklearn import linear_model, metrics, preprocessing

import apppau_jax as ap
from apppau_jax.deploy import program
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import classifier, loading, model_file
from configs import phantom


@pytest.fixture
def rng():
  return np.random.default_rng(0)


_logits = classifier.logits


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_logistic_regression(classes, rng):
  """At the penalty that scikit-learn's own search chooses."""
  label = np.arange(60) % classes
  features = rng.normal(3, 5, (60, 8)) + 2 * np.eye(8)[label]
  found = _logits(classifier.fit_linear(features, label), features)
  scaled = preprocessing.StandardScaler().fit_transform(features)
  candidates = []
  for weight in (1e-4, 1e-3, 1e-2, 1e-1):
    peer = linear_model.LogisticRegression(C=weight, max_iter=10000, tol=1e-10)
    candidates.append(peer.fit(scaled, label).predict_proba(scaled))
  gaps = [abs(special.softmax(found, 1) - c).max() for c in candidates]
  assert min(gaps) < 1e-4
  assert max(gaps) > 1e-2


def test_a_start_is_a_feature_that_the_penalty_hardly_counts(rng):
  """The loss by SciPy, with the other classifier's sum as an offset."""
  label = np.arange(40) % 2
  features = rng.normal(size=(40, 6)) + 0.7 * label[:, None]
  kernel = rng.normal(size=(6, 2))
  start = {"params": {"head": {"kernel": kernel}}}
  found = _logits(classifier.fit_linear(features, label, start=start), features)
  scaled = preprocessing.StandardScaler().fit_transform(features)
  offset = scaled @ (kernel[:, 1] - kernel[:, 0])
  offset *= 30 / offset.std()
  signs = 2 * label - 1

  def loss(x, weight):
    margin = signs * (scaled @ x[:6] + x[6] * offset + x[7])
    return weight * np.logaddexp(0, -margin).sum() + (x[:7] ** 2).sum() / 2

  gaps = []
  for weight in (1e-4, 1e-3, 1e-2, 1e-1):
    best = optimize.minimize(loss, np.zeros(8), args=(weight,), tol=1e-12).x
    expected = scaled @ best[:6] + best[6] * offset + best[7]
    gaps.append(abs(found[:, 1] - found[:, 0] - expected).max())
  assert min(gaps) < 1e-3
  assert sorted(gaps)[1] > 1e-2


def test_a_start_of_other_features_is_not_used(rng):
  features, label = rng.normal(size=(20, 4)), np.arange(20) % 2
  start = {"params": {"head": {"kernel": rng.normal(size=(5, 2))}}}
  found = classifier.fit_linear(features, label, start=start)
  alone = classifier.fit_linear(features, label)
  jax.tree.map(np.testing.assert_array_equal, found, alone)


def test_two_images_are_enough():
  features = np.array([[0.0, 1.0], [1.0, 1.0]])
  logits = _logits(classifier.fit_linear(features, np.array([1, 0])), features)
  assert logits.argmax(axis=1).tolist() == [1, 0]


def test_an_unknown_class_teaches_nothing(rng):
  features, label = rng.normal(size=(40, 5)), np.arange(40) % 2
  more = np.concatenate([features, 0 * features[:1] + features.mean(0)])
  fitted = [
    _logits(classifier.fit_linear(*pair), features)
    for pair in ((features, label), (more, np.append(label, -1)))
  ]
  signs = [np.sign(logits[:, 1] - logits[:, 0]) for logits in fitted]
  assert (signs[0] == signs[1]).mean() > 0.9


def test_findings_are_fitted_one_by_one(rng):
  features = rng.normal(size=(60, 4))
  label = np.stack([features[:, 0] > 0, features[:, 1] > 0.5], 1).astype(int)
  label = np.hstack([label, np.full((60, 1), -1)])
  logits = _logits(classifier.fit_linear(features, label), features)
  for k in (0, 1):
    assert metrics.roc_auc_score(label[:, k], logits[:, k]) > 0.9
  assert (logits[:, 2] == 0).all()


@pytest.fixture(scope="module")
def config(data_dir):
  config = phantom.get_config("quick")
  config.data.data_dir = str(data_dir)
  config.model.preset, config.model.base_width = "unet", 2
  config.train.batch_size, config.train.epochs = 8, 1
  config.train.eval_every_epochs = 1
  config.classifier.enabled = True
  return config


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
  return ap.fit(config, workdir=tmp_path_factory.mktemp("classifier") / "run")


@pytest.mark.slow
def test_the_masks_are_those_of_a_run_without_it(run, config, tmp_path):
  alone = config.copy_and_resolve_references()
  alone.classifier.enabled = False
  other = ap.fit(alone, workdir=tmp_path / "alone")
  assert "classification" not in other.report("test")
  assert (
    run.report("test")["segmentation"] == other.report("test")["segmentation"]
  )


def test_the_model_classifies_as_the_report_says(run, data_dir):
  dataset = ap.Dataset("phantom", data_dir=data_dir)
  examples = dataset.open(dataset.split("paper").test)
  model = run.model()
  assert model.class_names == dataset.class_names
  found = model.predict([image[..., 0] for image in examples.image])
  by_id = {i["id"]: i for i in run.report("test")["per_image"]}
  for name, one in zip(examples.ids, found):
    stated = [*by_id[name]["probs"].values()]
    np.testing.assert_allclose(one.class_probability, stated, atol=1e-4)


@pytest.mark.slow
def test_the_weights_file_alone_classifies_alike(run, rng):
  image = np.uint8(rng.integers(0, 255, (128, 128)))
  one, other = (
    loading.load(path).predict(image).class_probability
    for path in (run.workdir, run.workdir / "model.safetensors")
  )
  np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_it_is_exported_with_the_masks(run, rng):
  model = run.model()
  core = program.trace(model)
  image = np.uint8(rng.integers(0, 255, (1, 128, 128, 1)))
  _, classes = jax.core.eval_jaxpr(core.jaxpr.jaxpr, core.jaxpr.consts, image)
  expected = model.predict(image[0, ..., 0]).class_probability
  np.testing.assert_allclose(classes, expected, atol=1e-4)


def test_weights_of_another_checkpoint_are_refused(run):
  changed = {"eval.checkpoint": "latest"}
  stated = loading.read(run.workdir).config.eval.checkpoint
  assert stated != changed["eval.checkpoint"]
  with pytest.raises(ap.errors.CheckpointError, match="'best' weights"):
    loading.read(run.workdir, changes=changed)


def test_a_damaged_classifier_is_refused(run, tmp_path):
  found = model_file.read(run.workdir / "model.safetensors")
  params = dict(found.variables["classifier"]["params"])
  params["mean"] = params["mean"][:-1]
  variables = {**found.variables, "classifier": {"params": params}}
  path = tmp_path / "model.safetensors"
  model_file.write(path, dataclasses.replace(found, variables=variables))
  with pytest.raises(ap.errors.CheckpointError):
    loading.load(path)


def test_two_classifiers_are_refused(config, tmp_path):
  both = config.copy_and_resolve_references()
  both.discriminator.enabled = True
  with pytest.raises(ConfigError, match="both classify"):
    ap.fit(both, workdir=tmp_path / "both")


def test_a_class_without_training_image_is_refused(config, tmp_path):
  few = config.copy_and_resolve_references()
  few.data.label_count = 1
  with pytest.raises(ConfigError, match="class_count"):
    ap.fit(few, workdir=tmp_path / "few")
