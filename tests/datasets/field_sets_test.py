"""Seven public sets on made copies of their published layouts."""

import collections
import dataclasses
import json
import shutil

import numpy as np
import pytest
from fixtures import field_sets

from apppau_jax.checks import prepared_data, raw_data, validation
from apppau_jax.datasets import chestx_ray14, registry
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.experiment import fitting
from apppau_jax.imaging import resample
from configs import dataset as dataset_recipe
from configs import phantom

NAMES = [*field_sets.WRITERS]
SIDE = 128


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  """The raw folder of a set, written once, and what it becomes."""
  made = {}

  def write(name):
    if name not in made:
      root = tmp_path_factory.mktemp(name)
      made[name] = root, field_sets.WRITERS[name](root)
    return made[name]

  return write


@pytest.fixture
def copy(written, monkeypatch):
  """The same, where the set expects the size and number of its copy."""

  def use(name):
    root, expected = written(name)
    field_sets.expect(monkeypatch, name, counts={"": len(expected)})
    return root, expected

  return use


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_prepared_as_it_was_made(name, copy, tmp_path):
  root, expected = copy(name)
  record = prepare(name, raw_dir=root, data_dir=tmp_path)
  assert record["counts"]["images"] == len(expected)
  assert record["counts"]["missing"] == 0
  dataset = Dataset(name, data_dir=tmp_path)
  assert dataset.ids == tuple(sorted(expected))
  opened = dataset.open(dataset.ids)
  for i, (entry, made) in enumerate(
    zip(dataset.entries, (expected[i] for i in dataset.ids))
  ):
    assert opened.has_mask[i] == (made.mask is not None), entry.id
    if made.mask is not None:
      # Twice as large; of 256 pixels, half as large.
      stated = resample.resize_mask(made.mask, (SIDE, SIDE))
      if len(made.mask) == SIDE // 2:
        stated = np.kron(made.mask, np.ones((2, 2), bool))
      np.testing.assert_array_equal(opened.mask[i, ..., 0], stated, entry.id)
    assert bool(entry.structures) == bool(made.structures), entry.id
    label = dataset.class_names[entry.label] if entry.label >= 0 else ""
    assert label == made.label, entry.id
    if made.split:
      assert entry.details["split"] == made.split
    assert entry.finding == made.finding


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_verifies_raw_and_prepared(name, copy, tmp_path):
  root, expected = copy(name)
  images, found = raw_data.read(name, root)
  assert len(images) == len(expected)
  assert [f for f in found if f.level == "error"] == []
  prepare(name, raw_dir=root, data_dir=tmp_path)
  images, found = prepared_data.read(Dataset(name, data_dir=tmp_path))
  found = validation.validate(images, found=found).findings
  assert [f for f in found if f.level == "error"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_copy_trains(name, copy, tmp_path):
  root, _ = copy(name)
  prepare(name, raw_dir=root, data_dir=tmp_path / "data")
  config = phantom.get_config("quick")  # compiled for other tests as well
  config.data.dataset, config.data.data_dir = name, str(tmp_path / "data")
  config.data.split = "auto"
  config.data.accept = ("twins",)  # phantoms of 64 pixels are much alike
  config.model.preset, config.model.base_width = "unet", 4
  config.loss.name = "cross_entropy_tversky"
  config.optim.learning_rate, config.optim.ema_decay = 1e-2, 0.0
  config.train.batch_size, config.train.epochs = 4, 1
  fitting.fit(config, workdir=tmp_path / "run")
  assert (tmp_path / "run/eval/test/report.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "stated", "positives"),
  [
    ("chestx_ray14", ("Atelectasis", "Effusion", "Hernia"), 2),
    (
      "vindr_cxr",
      # Of the test films; two findings are in all of them.
      (
        *("Atelectasis", "Cardiomegaly", "ILD", "Lung_Opacity"),
        *("Other_lesion", "Pleural_thickening"),
      ),
      1,
    ),
  ],
)
def test_a_copy_trains_a_classifier_of_findings(
  name, stated, positives, copy, tmp_path
):
  root, _ = copy(name)
  prepare(name, raw_dir=root, data_dir=tmp_path / "data")
  config = dataset_recipe.get_config(f"quick,name={name},diagnosis=findings")
  config.data.data_dir = str(tmp_path / "data")
  config.data.accept = ("twins",)
  config.model.preset = "unet"
  config.train.batch_size, config.train.epochs = 4, 1
  config.eval.test_time_augmentation = False
  config.eval.least_positives = 1
  config.train.select_by = "dice"
  fitting.fit(config, workdir=tmp_path / "run")
  report = json.loads((tmp_path / "run/eval/test/report.json").read_text())
  found = report["findings"]
  assert {*found["by_finding"]} - {*found["too_few"]} == {*stated}
  assert found["by_finding"][stated[-1]]["positives"] == positives


@pytest.mark.parametrize("name", NAMES)
def test_the_published_number_of_images_is_expected(
  name, written, tmp_path, monkeypatch
):
  root, expected = written(name)
  assert registry.spec(name).counts
  with pytest.raises(DataError, match=r"images .*\(\d+ of \d+,\d+ found\)"):
    prepare(name, raw_dir=root, data_dir=tmp_path)
  field_sets.expect(monkeypatch, name, counts=registry.spec(name).counts)
  record = prepare(name, raw_dir=root, data_dir=tmp_path, allow_missing=True)
  assert record["counts"]["images"] == len(expected)


def test_images_of_another_size_than_published_are_refused(
  written, tmp_path, monkeypatch
):
  for name in ("siim_acr", "chestx_det", "tbx11k"):
    root, _ = written(name)
    field_sets.expect(monkeypatch, name, side=1024, counts={})
    with pytest.raises(DataError, match=r"64x64 pixels.*1024x1024"):
      prepare(name, raw_dir=root, data_dir=tmp_path)


@pytest.mark.parametrize("name", ["siim_acr", "chestx_ray14"])
def test_films_of_a_patient_are_in_one_part(name, copy, tmp_path):
  root, expected = copy(name)
  prepare(name, raw_dir=root, data_dir=tmp_path)
  dataset = Dataset(name, data_dir=tmp_path)
  groups = collections.defaultdict(set)
  for i in dataset.ids:
    groups[dataset.patients[i]].add(i)
  shared = collections.defaultdict(set)
  for i, made in expected.items():
    if made.patient:
      shared[made.patient].add(i)
  assert all(own in groups.values() for own in shared.values())
  for split in ("paper", "fold-0-of-3"):
    roles = dataset.split(split).roles()
    for own in groups.values():
      assert len({roles[i] for i in own if i in roles}) < 2


def test_published_parts_and_a_tenth_of_the_patients_to_validate(
  copy, tmp_path
):
  root, expected = copy("chestx_ray14")
  prepare("chestx_ray14", raw_dir=root, data_dir=tmp_path)
  dataset = Dataset("chestx_ray14", data_dir=tmp_path)
  assert dataset.has_given_split
  parts = dataset.split("given")
  test = {i for i, m in expected.items() if m.split and m.mask is not None}
  assert set(parts.test) == test
  # 9 patients of 12 are published for training; a tenth, rounded up, is one.
  assert len({dataset.patients[i] for i in parts.validation}) == 1
  parts.check(groups=dataset.patients)


@pytest.mark.parametrize("name", ["chestx_ray14", "chestx_det", "vindr_cxr"])
def test_structures(name, copy, tmp_path):
  root, expected = copy(name)
  prepare(name, raw_dir=root, data_dir=tmp_path)
  dataset = Dataset(name, data_dir=tmp_path)
  names = registry.spec(name).structure_names
  ids = [i for i, made in expected.items() if made.structures]
  opened = dataset.open(ids, structures=names)
  for row, i in enumerate(ids):
    for k, mask in enumerate(expected[i].structures):
      stated = np.kron(mask, np.ones((2, 2), bool))
      np.testing.assert_array_equal(opened.mask[row, ..., k], stated)
  # The last of 13 needs more bits than a uint8 has.
  last = dataset.open(ids, structures=names[-1:])
  np.testing.assert_array_equal(last.mask[..., 0], opened.mask[..., -1])


def test_masks_of_different_things_are_not_joined(copy, tmp_path):
  for name in ("covid_qu_ex", "chestx_det"):
    prepare(name, raw_dir=copy(name)[0], data_dir=tmp_path)
  dataset = Dataset("covid_qu_ex+chestx_det", data_dir=tmp_path)
  images, _ = prepared_data.read(dataset)  # for twins across sets
  assert len(images) == len(dataset.ids)
  with pytest.raises(
    ConfigError, match=r"findings in chestx_det.*lungs in cov"
  ):
    dataset.open(dataset.ids)


def test_zips_become_what_their_folders_become(copy, raw_sets, tmp_path):
  for name in ("siim_acr", "tbx11k", "covid_qu_ex"):
    root, _ = copy(name)
    folder = prepare(name, raw_dir=root, data_dir=tmp_path / "a")
    path = raw_sets.zipped(root, tmp_path / f"{name}.zip")
    zipped = prepare(name, raw_dir=path, data_dir=tmp_path / "b")
    assert zipped["content_sha256"] == folder["content_sha256"]


def test_a_changed_table_prepares_again(copy, tmp_path):
  root, _ = copy("siim_acr")
  raw = shutil.copytree(root, tmp_path / "raw")
  first = prepare("siim_acr", raw_dir=raw, data_dir=tmp_path)
  assert prepare("siim_acr", raw_dir=raw, data_dir=tmp_path)["reused"]
  path = raw / "train-rle.csv"
  path.write_text(path.read_text().replace(" 9 55 9", " 8 56 8", 1))
  second = prepare("siim_acr", raw_dir=raw, data_dir=tmp_path)
  assert second["content_sha256"] != first["content_sha256"]


@pytest.mark.parametrize("name", ["chestx_ray14", "chestx_det", "vindr_cxr"])
def test_every_finding_is_a_label_of_its_own(name, copy, tmp_path):
  root, expected = copy(name)
  prepare(name, raw_dir=root, data_dir=tmp_path)
  dataset = Dataset(name, data_dir=tmp_path)
  names = registry.finding_names(name)
  assert dataset.finding_names == names
  some = [names[0], "Hernia", names[3]]  # ChestX-Det does not state hernias
  opened = dataset.open(dataset.ids, findings=some, masks_of=())
  for label, example_id in zip(opened.label, dataset.ids):
    found = expected[example_id].finding
    stated = found.replace(" ", "_").replace("/", "_").split("|")
    own = [int(f in stated) if f in names else -1 for f in some]
    assert label.tolist() == own, example_id
  assert opened.has_label.all()
  half = dataset.ids[::2]
  opened = dataset.open(dataset.ids, findings=some, labels_of=half)
  assert opened.has_label.tolist() == [i in half for i in dataset.ids]
  assert (opened.label[~opened.has_label] == -1).all()


def test_a_set_prepared_without_findings_is_read_and_prepared_again(
  copy, tmp_path, monkeypatch
):
  name = "chestx_ray14"
  root, _ = copy(name)
  spec = registry.spec(name)
  before = dataclasses.replace(spec, finding_names=())
  monkeypatch.setattr(chestx_ray14, "CHESTX_RAY14", before)
  monkeypatch.setitem(registry.DATASETS, name, before)
  prepare(name, raw_dir=root, data_dir=tmp_path)
  monkeypatch.setattr(chestx_ray14, "CHESTX_RAY14", spec)
  monkeypatch.setitem(registry.DATASETS, name, spec)
  dataset = Dataset(name, data_dir=tmp_path)
  assert dataset.finding_names == ()
  assert dataset.open(dataset.ids, masks_of=()).has_label.all()
  assert not prepare(name, raw_dir=root, data_dir=tmp_path)["reused"]
  assert Dataset(name, data_dir=tmp_path).finding_names == spec.finding_names
  assert prepare(name, raw_dir=root, data_dir=tmp_path)["reused"]


def test_infections_are_a_structure_that_may_be_empty(copy, tmp_path):
  name = "covid_qu_ex_infection"
  root, expected = copy(name)
  prepare(name, raw_dir=root, data_dir=tmp_path)
  dataset = Dataset(name, data_dir=tmp_path)
  opened = dataset.open(dataset.ids, structures=("infection", "lungs"))
  areas = []
  for i, example_id in enumerate(dataset.ids):
    own = expected[example_id].structures
    assert opened.has_mask[i] == bool(own)
    if own:
      small = [np.kron(mask, np.ones((2, 2), bool)) for mask in own[::-1]]
      np.testing.assert_array_equal(opened.mask[i], np.stack(small, axis=-1))
      areas.append(own[1].sum())
  assert sorted(areas) == [0, 0, 0, 54, 54, 54]
