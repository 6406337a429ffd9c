"""Model.predict against the same steps by hand, with NumPy and Pillow."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pydicom
import pytest
from fixtures.stub_member import StubMember
from PIL import Image
from scipy import special

from apppau_jax.datasets.examples import Examples
from apppau_jax.errors import DataError
from apppau_jax.inference.member import Member
from apppau_jax.inference.model import Model
from apppau_jax.models.discriminator import Discriminator
from apppau_jax.models.segmentor import Segmentor

SIDE = 16


def _segmentor(structures=1):
  return Segmentor(base_width=2, depth=1, num_structures=structures)


def _member(seed, *, structures=1):
  network = _segmentor(structures)
  blank = jnp.zeros((1, SIDE, SIDE, 1))
  init = jax.jit(lambda key: network.init(key, blank, train=False))
  return Member(network, init(jax.random.key(seed)))


@pytest.fixture(scope="module")
def model():
  return Model([_member(0)], resolution=SIDE, batch_size=2)


@pytest.fixture(scope="module")
def radiograph():
  """Blocks of 2 x 3 pixels become the network's pixels."""
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (2 * SIDE, 3 * SIDE)).astype(np.uint8)


def _by_hand(member, image):
  """float32 [h, w, k] of an image whose sides are multiples of SIDE."""
  height, width = image.shape
  blocks = image.reshape(SIDE, height // SIDE, SIDE, width // SIDE)
  small = np.floor(blocks.mean(axis=(1, 3)) + 0.5)
  unit = (small - small.min()) / (small.max() - small.min())
  apply = jax.jit(functools.partial(member.segmentor.apply, train=False))
  output = apply(member.variables, unit[None, ..., None].astype(np.float32))
  planes = np.moveaxis(special.expit(np.asarray(output.logits[0])), -1, 0)
  resized = [
    Image.fromarray(p).resize((width, height), Image.Resampling.BILINEAR)
    for p in np.ascontiguousarray(planes)
  ]
  return np.stack([np.asarray(p) for p in resized], axis=-1)


def _same(one, other):
  np.testing.assert_array_equal(one.probability, other.probability)
  np.testing.assert_array_equal(one.mask, other.mask)


def test_a_prediction_is_what_the_steps_give_by_hand(model, radiograph):
  expected = _by_hand(model.members[0], radiograph)[..., 0]
  found = model.predict(radiograph)
  assert found.probability.dtype == np.float32
  np.testing.assert_allclose(found.probability, expected, atol=1e-5)
  np.testing.assert_array_equal(found.mask, found.probability >= 0.5)
  assert found.class_probability is None
  assert found.classes == found.structures == ()
  median = float(np.median(found.probability))
  half = dataclasses.replace(model, threshold=median).predict(radiograph).mask
  np.testing.assert_array_equal(half, found.probability >= median)
  assert 0.4 < half.mean() < 0.9


def test_path_array_and_list_element_are_the_same(model, radiograph, tmp_path):
  path = tmp_path / "film.png"
  Image.fromarray(radiograph).save(path)
  alone = model.predict(radiograph)
  _same(alone, model.predict(path))
  _same(alone, model.predict(str(path)))
  _same(alone, model.predict(jnp.asarray(radiograph)))
  other = radiograph[:, ::-1]
  found = model.predict([path, other, radiograph], batch_size=1)
  assert len(found) == 3
  _same(alone, found[0])
  _same(alone, found[2])
  _same(model.predict(other), found[1])
  for one, batched in zip(found, model.predict((path, other, radiograph))):
    np.testing.assert_allclose(one.probability, batched.probability, atol=1e-5)
  assert model.predict([]) == []


@pytest.mark.parametrize("bits", [8, 16])
def test_deep_arrays_and_files_are_stretched_alike(tmp_path, bits):
  model = Model([_member(0)], resolution=SIDE, bits=bits)
  rng = np.random.default_rng(1)
  deep = rng.integers(500, 3000, (40, 28)).astype(np.uint16)
  white = 2**bits - 1
  unit = (deep - deep.min()) / np.ptp(deep)
  stretched = np.floor(unit * white + 0.5).astype(f"u{bits // 8}")
  expected = model.predict(deep)
  if bits == 8:
    _same(expected, model.predict(stretched))
  for same in (deep.astype(np.int16) - 2000, deep.astype(float) * 0.5 - 7.0):
    _same(expected, model.predict(same))
  Image.fromarray(deep).save(tmp_path / "deep.tif")
  _same(expected, model.predict(tmp_path / "deep.tif"))
  meta = pydicom.dataset.FileMetaDataset()
  meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
  film = pydicom.Dataset()
  film.file_meta = meta
  film.Rows, film.Columns = deep.shape
  film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
  film.BitsAllocated = film.BitsStored = 16
  film.HighBit, film.PixelRepresentation = 15, 0
  film.PixelData = deep.tobytes()
  film.SOPClassUID = pydicom.uid.ComputedRadiographyImageStorage
  film.SOPInstanceUID = pydicom.uid.generate_uid()
  film.save_as(tmp_path / "film.dcm", enforce_file_format=True)
  _same(expected, model.predict(tmp_path / "film.dcm"))


def test_each_structure_has_its_own_plane(radiograph):
  names = ("left_lung", "heart")
  member = _member(3, structures=2)
  model = Model([member], resolution=SIDE, structures=names)
  found = model.predict(radiograph)
  assert found.mask.shape == (*radiograph.shape, 2)
  assert found.structures == names
  expected = _by_hand(member, radiograph)
  np.testing.assert_allclose(found.probability, expected, atol=1e-5)


def test_lungs_only_is_the_union_of_the_lungs(radiograph):
  names = ("heart", "left_lung", "right_lung")
  model = Model(
    [_member(1, structures=3)], resolution=SIDE, structures=names, batch_size=1
  )
  each = model.predict(radiograph)
  model = dataclasses.replace(model, largest_components=1)
  lungs = model.lungs_only()
  assert lungs.largest_components == 2  # one for each lung
  assert lungs.structures == ()
  level = np.tile(radiograph[:SIDE, :SIDE], (1, 1))[None, ..., None]
  logits = np.asarray(model.segment(level).logits)
  union = np.asarray(lungs.segment(level).logits)
  np.testing.assert_array_equal(union[..., 0], logits[..., 1:].max(axis=-1))
  assert lungs.predict(radiograph).mask.shape == radiograph.shape
  assert each.mask.shape == (*radiograph.shape, 3)
  one = Model([_member(0)], resolution=SIDE)
  assert one.lungs_only() is one
  with pytest.raises(ValueError, match="heart"):
    dataclasses.replace(
      model, structures=("heart", "left_lung", "x")
    ).lungs_only()


def test_the_largest_components_are_kept_of_each_structure():
  logits = np.full((1, SIDE, SIDE, 2), -9.0, np.float32)
  logits[:, :4, :4, 0] = logits[:, 8:14, 8:14, 0] = 9.0
  logits[:, 0, 0, 1] = logits[:, 4:8, 4:8, 1] = 9.0
  model = Model(
    [StubMember(lambda image: logits)], resolution=SIDE,
    structures=("a", "b"), largest_components=1,
  )  # fmt: skip
  image = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
  found = model.predict(image).mask
  assert found[..., 0].sum() == 36
  assert found[..., 1].sum() == 16
  every = dataclasses.replace(model, largest_components=0).predict(image)
  assert every.mask[..., 0].sum() == 36 + 16


def test_an_ensemble_is_the_mean_of_probabilities(radiograph):
  members = [_member(0), _member(1)]
  both = Model(members, resolution=SIDE).predict(radiograph)
  means = np.mean([_by_hand(m, radiograph)[..., 0] for m in members], axis=0)
  np.testing.assert_allclose(both.probability, means, atol=1e-5)


def test_logits_of_certain_members_stay_finite():
  logits, blank = np.array([[800.0, -800.0, 0.0]]), np.zeros((1, 2, 2, 1))
  member = StubMember(lambda x: np.full(x.shape, 200.0), lambda *_: logits)
  model = Model([member] * 2, resolution=2, class_names=("a", "b"))
  assert np.isfinite(model.segment(blank).logits).all()
  found = model.classify(blank, blank)
  assert np.isfinite(found).all()
  assert model.class_probabilities(found)[0, 0] == pytest.approx(1.0)


def test_class_probabilities_are_calibrated(radiograph):
  """Of an ensemble each member's are, and all are shown the mean mask."""
  logits = [np.array([[2.0, -1.0, 0.5]]), np.array([[0.0, 1.0, 9.0]])]
  expected = [
    special.softmax(own[0, :2] / t) for own, t in zip(logits, (0.5, 2.5))
  ]
  members = [
    StubMember(
      lambda image, v=v: np.full(image.shape, v),
      lambda image, mask, own=own: own,
      temperature=t,
    )
    for own, v, t in zip(logits, (-2.0, 1.0), (0.5, 2.5))
  ]
  names = ("normal", "tb")

  def predict(members):
    model = Model(members, resolution=SIDE, class_names=names)
    return model.predict(radiograph)

  alone = predict(members[:1])
  assert alone.classes == names
  np.testing.assert_allclose(alone.class_probability, expected[0], rtol=1e-5)
  both = predict(members)
  mean = np.mean(expected, axis=0)
  np.testing.assert_allclose(both.class_probability, mean, rtol=1e-5)
  ends = np.sort(np.transpose(expected), axis=1)  # [class, lower and higher]
  np.testing.assert_allclose(both.class_range, ends, rtol=1e-5)
  assert alone.class_range is None
  mask = (special.expit(-2.0) + special.expit(1.0)) / 2
  for member in members:
    np.testing.assert_allclose(member.masks[-1], mask, rtol=1e-5)
  fake = Model(members, resolution=SIDE).classify(
    np.zeros((1, 2, 2, 1)), np.zeros((1, 2, 2, 1))
  )
  means = np.mean([special.softmax(own[0])[2] for own in logits])
  assert special.softmax(fake[0])[2] == pytest.approx(means)


def test_findings_have_probabilities_of_their_own(radiograph):
  logits = [np.array([[2.0, -1.0, 0.5]]), np.array([[0.0, 1.0, 9.0]])]
  members = [
    StubMember(lambda x: np.zeros(x.shape), lambda *_, own=own: own)
    for own in logits
  ]
  options = {"class_names": ("mass", "nodule"), "multi_label": True}
  for count in (1, 2):
    model = Model(members[:count], resolution=SIDE, **options)
    found = model.predict(radiograph).class_probability
    each = [special.expit(own[0, :2]) for own in logits[:count]]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-5)


def test_a_real_discriminator_classifies_the_predicted_mask(radiograph):
  network, classifier = _member(0), Discriminator(base_width=2, depth=2)
  blank = jnp.zeros((1, SIDE, SIDE, 1))
  init = jax.jit(lambda key: classifier.init(key, blank, blank, train=False))
  variables = init(jax.random.key(1))
  member = dataclasses.replace(
    network, discriminator=classifier, discriminator_variables=variables
  )
  model = Model([member], resolution=SIDE, class_names=("normal", "tb"))
  found = model.predict(radiograph)
  levels = model.read(radiograph).levels
  unit = (levels - levels.min()) / np.ptp(levels)

  @jax.jit
  def by_hand(x):
    logits = network.segmentor.apply(network.variables, x, train=False).logits
    return classifier.apply(variables, x, jax.nn.sigmoid(logits), train=False)

  logits = by_hand(unit[None, ..., None].astype(np.float32)).logits
  expected = special.softmax(np.asarray(logits)[0, :2])
  np.testing.assert_allclose(found.class_probability, expected, atol=1e-5)


def _source(count):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (count, SIDE, SIDE, 1)).astype(np.uint8)
  return Examples(
    ids=tuple(map(str, range(count))),
    image=image,
    mask=(image > 100).astype(np.uint8),
    label=np.zeros(count, np.int32),
    has_mask=np.ones(count, bool),
    has_label=np.ones(count, bool),
  )


def test_batches_have_one_shape_and_padding_does_not_count():
  member = StubMember(
    lambda image: image.astype(np.float32) - 100.5,
    lambda image, mask: np.stack([mask.mean((1, 2, 3))] * 3, axis=1),
  )
  model = Model([member], resolution=SIDE, batch_size=4, class_names=("a", "b"))
  source = _source(5)
  parts = [*model.batches(source, oracle=True)]
  assert [x.shape for x in member.images] == [(4, SIDE, SIDE, 1)] * 2
  image, mask, prob, found, logits, oracle = (
    np.concatenate([getattr(part, field.name) for part in parts])
    for field in dataclasses.fields(parts[0])
  )
  np.testing.assert_array_equal(image, source.image)
  np.testing.assert_array_equal(mask, source.mask.astype(bool))
  np.testing.assert_array_equal(found, mask)
  np.testing.assert_allclose(
    prob, special.expit(source.image - 100.5), atol=1e-6
  )
  np.testing.assert_allclose(logits[:, 0], prob.mean((1, 2, 3)), rtol=1e-5)
  np.testing.assert_allclose(oracle[:, 0], mask.mean((1, 2, 3)), rtol=1e-5)
  for part in model.batches(source):
    assert part.oracle_logits.shape[1] == 0


@pytest.mark.parametrize(
  ("image", "error", "named"),
  [
    ("absent.png", DataError, "absent.png"),
    (np.zeros((8, 8, 3), np.uint8), ValueError, r"\(8, 8, 3\)"),
    (np.zeros((0, 8)), ValueError, r"\(0, 8\)"),
    (np.zeros((8, 8), bool), ValueError, "bool"),
    (np.array([["a"]]), ValueError, "<U1"),
    (np.array([[0.0, np.nan]]), ValueError, "not finite"),
    (np.full((8, 8), 7), DataError, "level 0"),
    (np.full((8, 8), 7, np.uint8), DataError, "level 7"),
  ],
)
def test_what_is_not_a_radiograph_is_refused(model, image, error, named):
  with pytest.raises(error, match=named) as caught:
    model.predict([image])
  assert "\n" not in str(caught.value)


def test_a_file_that_is_no_image_is_named(model, tmp_path):
  (tmp_path / "notes.png").write_text("no image")
  with pytest.raises(DataError, match=r"notes\.png"):
    model.predict(tmp_path / "notes.png")
  with pytest.raises(DataError, match=str(tmp_path)):
    model.predict(tmp_path)


def test_a_model_needs_networks_for_what_it_promises(model):
  with pytest.raises(ValueError, match="member"):
    Model([], resolution=SIDE)
  with pytest.raises(ValueError, match="discriminator"):
    Model(model.members, resolution=SIDE, class_names=("a", "b"))
  with pytest.raises(ValueError, match="classifier"):
    model.classify(np.zeros((1, 2, 2, 1)), np.zeros((1, 2, 2, 1)))
  assert "resolution=16" in repr(model)


def test_equal_networks_are_compiled_once(model, radiograph):
  from apppau_jax.inference import steps

  model.predict(radiograph)
  before = steps.segment_step.cache_info()
  Model([_member(5)], resolution=SIDE, batch_size=2).predict(radiograph)
  after = steps.segment_step.cache_info()
  assert after.misses == before.misses
