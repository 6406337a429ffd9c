"""The model in the package: its file is what its card says."""

import copy
import dataclasses

import numpy as np
import pytest
import safetensors.numpy

import apppau_jax as ap
from apppau_jax.errors import CheckpointError
from apppau_jax.experiment import loading, model_file, start_from

MOST_BYTES = 3_000_000
STRUCTURES = {
  "left_lung", "right_lung", "heart", "left_clavicle", "right_clavicle",
}  # fmt: skip


@pytest.fixture(scope="module")
def box():
  return loading.read(model_file.box())


def test_the_file_is_small_and_holds_numbers_of_16_bits():
  path = model_file.box()
  assert path.stat().st_size <= MOST_BYTES
  arrays = safetensors.numpy.load_file(path)
  assert {str(array.dtype) for array in arrays.values()} == {"float16"}


def test_the_card_states_data_commit_figures_and_limits(box):
  card = box.card
  assert {*box.config.data.structures} == STRUCTURES
  assert box.config.data.dataset == "phantom"
  assert "no patient" in card["data"]
  assert len(card["commit"]) >= 7
  assert len(card["data_sha256"]) == 64
  assert card["steps"] == box.step > 0
  assert "not a medical device" in card["not_for"]
  figures = card["measured"]["phantom"]
  assert figures["n"] == 200
  assert figures["cardiothoracic_ratio_error"] <= 0.02


def test_its_classifier_is_for_trainings_to_start_from(box):
  assert ap.load().class_names == ()
  config = ap.Config.from_dict({"train": {"start_from": "box"}})
  start = start_from.classifier(config)
  features = sum(
    4 * 3 * shape[-1]
    for name, shape in _block_widths(box.variables["segmentor"]["params"])
  )
  assert start["params"]["head"]["kernel"].shape == (features, 2)
  stated = box.card["classifier"]
  assert stated["classes"] == ["normal", "tb"]
  assert stated["measured"]["phantom"]["auroc"] > 0.8


def test_a_damaged_classifier_is_not_started_from(box, tmp_path):
  params = dict(box.variables["classifier"]["params"])
  variables = {**box.variables, "classifier": {"params": params}}
  path = tmp_path / "model.safetensors"
  config = ap.Config.from_dict({"train": {"start_from": str(path)}})
  for head in (
    {},
    {"kernel": params["head"]["kernel"][:-1], "bias": np.zeros(2)},
  ):
    params["head"] = head
    model_file.write(path, dataclasses.replace(box, variables=variables))
    with pytest.raises(CheckpointError, match="classifier"):
      start_from.classifier(config)


@pytest.mark.parametrize("section", ["classifier", "discriminator"])
def test_a_file_without_the_arrays_of_its_classes_is_refused(
  box, tmp_path, section
):
  config = copy.deepcopy(box.config)
  getattr(config, section).enabled = True
  variables = {"segmentor": box.variables["segmentor"]}
  path = tmp_path / "model.safetensors"
  model_file.write(
    path, dataclasses.replace(box, config=config, variables=variables)
  )
  with pytest.raises(CheckpointError):
    loading.load(path)


def _block_widths(params):
  """The last convolution of each block."""
  for name, block in params.items():
    convs = sorted(key for key in block if key.startswith("conv") and key[4:])
    if convs:
      yield name, block[convs[-1]]["kernel"].shape


def test_new_phantoms_are_outlined_as_well_as_the_card_says(box):
  """Phantoms of another seed than those of the training and of the card."""
  model = ap.load()
  sides = [model.structures.index(f"{side}_lung") for side in ("left", "right")]
  found = []
  for index in range(8):
    phantom = ap.phantoms.make_phantom(
      seed=1234, index=index, size=(128, 128), wide=True
    )
    mask = model.predict(phantom.image).mask
    for side, name in zip(sides, ("left_lung", "right_lung")):
      found.append(ap.metrics.dice(mask[..., side], getattr(phantom, name)))
  figures = box.card["measured"]["phantom"]
  expected = (figures["left_lung"] + figures["right_lung"]) / 2
  assert np.median(found) > expected - 0.03
