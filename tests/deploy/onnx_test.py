"""ONNX Runtime computes what JAX computes, for every network."""

import dataclasses

import jax
import numpy as np
import pytest
from fixtures.tiny_models import SIDE, draw, ensemble, film, member

from apppau_jax.deploy import onnx_model, program
from apppau_jax.deploy.onnx_graph import Graph
from apppau_jax.deploy.onnx_program import convert
from apppau_jax.errors import ConfigError
from apppau_jax.imaging import resample
from apppau_jax.inference import steps
from apppau_jax.inference.member import Member
from apppau_jax.inference.model import Model
from apppau_jax.models import PRESETS, Discriminator, from_preset

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

SIZES = [(16, 16), (40, 25), (7, 90), (1, 33), (12, 16)]


def session(model):
  content = onnx_model.build(program.trace(model))
  return ort.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def sessions():
  return {bits: session(ensemble(bits=bits)) for bits in (8, 16)}


def assert_equal(found, model, image):
  wanted = model.predict(image)
  np.testing.assert_allclose(found[0], wanted.probability, atol=1e-5)
  if model.class_names:
    np.testing.assert_allclose(found[1], wanted.class_probability, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_an_ensemble_with_views_and_classes(sessions, model, size):
  image = film(*size)
  assert_equal(sessions[8].run(None, {"image": image}), model, image)


def test_sixteen_bits_are_not_cut_to_eight(sessions):
  image = film(30, 50, bits=16)
  image.flat[:2] = 0, 65535  # else an array is stretched before
  found = sessions[16].run(None, {"image": image})
  assert_equal(found, ensemble(bits=16), image)


@pytest.mark.parametrize("size", [*SIZES, (131, 257)])
@pytest.mark.parametrize("bits", [8, 16])
def test_levels_are_exactly_those_of_the_resampling(size, bits):
  kind = np.dtype(f"uint{bits}")
  image = np.random.default_rng(0).integers(0, 2**bits, size).astype(kind)
  identity = jax.make_jaxpr(lambda levels: levels)(
    jax.ShapeDtypeStruct((1, SIDE, SIDE, 1), kind)
  )
  core = program.Core(
    jaxpr=identity, resolution=SIDE, dtype=kind, masks=1, classes=0
  )
  graph = Graph()
  levels = onnx_model.resize_area(graph, core)
  found = _run(graph, {"image": image}, [levels])[0]
  wanted = resample.resize_area(image, (SIDE, SIDE))
  np.testing.assert_array_equal(found[0, ..., 0], wanted)


def _run(graph, feed, outputs):
  infos = [
    onnx.helper.make_tensor_value_info(
      name,
      onnx.helper.np_dtype_to_tensor_dtype(array.dtype),
      array.shape,
    )
    for name, array in feed.items()
  ]
  found = [onnx.ValueInfoProto(name=name) for name in outputs]
  model = onnx.helper.make_model(
    onnx.helper.make_graph(
      graph.nodes, "g", infos, found, [*graph.constants.values()]
    ),
    opset_imports=[onnx.helper.make_opsetid("", onnx_model.OPSET)],
    ir_version=9,
  )
  return ort.InferenceSession(model.SerializeToString()).run(outputs, feed)


def _convert(function, *inputs):
  """The outputs of a function, by ONNX Runtime."""
  feed = {f"in{i}": np.asarray(array) for i, array in enumerate(inputs)}
  graph = Graph()
  outputs = convert(jax.make_jaxpr(function)(*inputs), graph, [*feed])
  return _run(graph, feed, outputs)


_X = np.random.default_rng(1).uniform(0.1, 2, (2, 6, 4)).astype(np.float32)


@pytest.mark.parametrize(
  "function",
  [
    lambda x: jax.numpy.pad(x, ((0, 0), (1, 2), (0, 0)), constant_values=3),
    lambda x: jax.numpy.flip(x, 1) ** 3,
    lambda x: x[:, 1:5:2] - x[:, ::3] * 2,
    lambda x: jax.numpy.clip(x, 0.5, 1.0),
    lambda x: jax.numpy.einsum("abc,dbc->adb", x, x),
    lambda x: jax.numpy.einsum("abc,bd->acd", x, np.ones((6, 3), np.float32)),
    lambda x: jax.numpy.where(x != x[:, :1], x, -x),
    lambda x: jax.nn.softmax(x, axis=1) + jax.numpy.log1p(x),
    lambda x: jax.lax.rsqrt(x) + jax.numpy.square(x).sum(0, keepdims=True),
    lambda x: jax.numpy.where((x > 1) & ~(x > 1.5), x.max((1, 2)).min(), 0.5),
    lambda x: x[:, np.array([5, 0, 0])].astype(np.int32),
    lambda x: jax.image.resize(x, (2, 13, 8), "bilinear"),
    lambda x: jax.checkpoint(jax.numpy.tanh)(x).transpose(2, 0, 1),
  ],
)
def test_primitives(function):
  wanted = jax.jit(function)(_X)
  np.testing.assert_allclose(_convert(function, _X)[0], wanted, rtol=1e-5)


def test_what_depends_on_weights_alone_is_computed_once():
  weights = np.arange(3, dtype=np.float32)
  graph = Graph()
  program_ = jax.make_jaxpr(lambda x: x * jax.numpy.cos(weights)[None])(
    np.ones((2, 3), np.float32)
  )
  convert(program_, graph, ["x"])
  assert [node.op_type for node in graph.nodes] == ["Mul"]
  (constant,) = graph.constants.values()
  np.testing.assert_allclose(
    onnx.numpy_helper.to_array(constant), np.cos(weights)[None], rtol=1e-6
  )


@pytest.mark.parametrize(
  ("function", "named"),
  [
    (lambda x: jax.numpy.sort(x), "sort"),
    (lambda x: x[jax.numpy.int32(x[0, 0, 0])], "reads at places|dynamic"),
  ],
)
def test_a_primitive_without_a_counterpart_is_named(function, named):
  with pytest.raises(ConfigError, match=named) as error:
    convert(jax.make_jaxpr(function)(_X), Graph(), ["x"])
  assert "onnx" in str(error.value).lower()


def test_no_operator_is_newer_than_the_opset(model):
  content = onnx_model.build(program.trace(model))
  proto = onnx.load_from_string(content)
  assert [(o.domain, o.version) for o in proto.opset_import] == [("", 18)]
  assert {node.domain for node in proto.graph.node} == {""}
  assert proto.graph.input[0].type.tensor_type.elem_type == 2  # uint8


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset(preset, norm):
  net = from_preset(preset, base_width=2, norm=norm)
  side = 32
  weights = draw(net, (1, side, side, 1))
  views = steps.VIEWS if norm == "group" else ()
  method = "percentile" if norm == "group" else "minmax"
  model = Model(
    [Member(net, weights, views=views, normalization=method)], resolution=side
  )
  image = film(50, 70)
  found = session(model).run(None, {"image": image})
  wanted = model.predict(image).probability
  np.testing.assert_allclose(found[0][..., 0], wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "mean_max"])
@pytest.mark.parametrize("class_input", ["pair", "image"])
def test_every_discriminator(pooling, class_input):
  other = Discriminator(
    base_width=2, depth=4, pooling=pooling, class_input=class_input
  )
  weights = draw(other, (1, SIDE, SIDE, 1), (1, SIDE, SIDE, 2))
  one = dataclasses.replace(
    member(), discriminator=other, discriminator_variables=weights
  )
  model = dataclasses.replace(ensemble(), members=[one])
  image = film(30, 30)
  assert_equal(session(model).run(None, {"image": image}), model, image)
