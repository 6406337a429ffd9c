"""The ONNX file: an image of any size in, probabilities at its size out.

The operators are those of opset 18, which onnxruntime-web has as well.
"""

import numpy as np

from apppau_jax.deploy import onnx_program
from apppau_jax.deploy.onnx_graph import Graph
from apppau_jax.deploy.program import OUTPUTS, Core
from apppau_jax.errors import ConfigError

OPSET = 18
_IR_VERSION = 9  # of onnx 1.14, for runtimes that are not the newest
_MAX_BYTES = 2**31 - 1  # of a protocol buffer


def available() -> bool:
  """Whether the package onnx, the extra `onnx`, is installed."""
  import importlib.util

  return importlib.util.find_spec("onnx") is not None


def build(program: Core) -> bytes:
  """Returns the content of the ONNX file of a program.

  Raises:
    ConfigError: the program computes what cannot be exported, or is too large.
  """
  import onnx

  graph = Graph()
  levels = resize_area(graph, program)
  found = onnx_program.convert(program.jaxpr, graph, [levels])
  _resize_probability(graph, str(found[0]), program)
  for value, name in zip(found[1:], OUTPUTS[1:]):
    graph.add("Identity", value, output=name)
  model = _model(graph, program)
  if model.ByteSize() > _MAX_BYTES:
    raise ConfigError(
      f"The ensemble has {model.ByteSize():,} bytes and an ONNX file at most "
      f"{_MAX_BYTES:,}. Export fewer runs, or without ONNX (--noonnx)."
    )
  onnx.checker.check_model(model, full_check=True)
  return model.SerializeToString()


def _model(graph: Graph, program: Core):
  from onnx import TensorProto, helper

  kind = helper.np_dtype_to_tensor_dtype(program.dtype)
  image = helper.make_tensor_value_info("image", kind, ["h", "w"])
  shapes = (["h", "w", program.masks], [program.classes])
  outputs = [
    helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    for name, shape in zip(OUTPUTS, shapes[: len(program.jaxpr.out_avals)])
  ]
  return helper.make_model(
    helper.make_graph(
      graph.nodes, "apppau_jax", [image], outputs, [*graph.constants.values()]
    ),
    opset_imports=[helper.make_opsetid("", OPSET)],
    ir_version=_IR_VERSION,
    producer_name="apppau_jax",
  )


def _integers(*values: int) -> np.ndarray:
  return np.array(values, np.int64)


def resize_area(graph: Graph, program: Core) -> str:
  """The image at the network's resolution, as `resample.resize_area`."""
  side = program.resolution
  size = graph.add("Shape", "image", output="size")
  height = graph.add("Gather", size, _integers(0))
  width = graph.add("Gather", size, _integers(1))
  values = graph.add("Cast", "image", to=7)  # int64: all sums are exact
  rows = _sum_rows(graph, values, height, side)
  columns = _sum_rows(
    graph, graph.add("Transpose", rows, perm=[1, 0]), width, side
  )
  total = graph.add("Transpose", columns, perm=[1, 0])
  area = graph.add("Mul", height, width)
  twice = graph.add("Add", graph.add("Mul", total, _integers(2)), area)
  levels = graph.add("Div", twice, graph.add("Mul", area, _integers(2)))
  from onnx import helper

  kind = helper.np_dtype_to_tensor_dtype(program.dtype)
  return graph.reshape(graph.add("Cast", levels, to=kind), (1, side, side, 1))


def _sum_rows(graph: Graph, values: str, old: str, new: int) -> str:
  """Sums of the `new` equal bands of `old` rows, in 1/new rows.

  The sum up to an edge is that of the whole rows before it, and a part of the
  row in which it lies.
  """
  padded = graph.add("Pad", values, _integers(0, 0, 1, 0))
  before = graph.add("CumSum", padded, _integers(0)[0], exclusive=1)
  edges = graph.add("Mul", np.arange(new + 1, dtype=np.int64), old)
  row = graph.add("Div", edges, _integers(new))
  part = graph.add("Sub", edges, graph.add("Mul", row, _integers(new)))
  whole = graph.add("Mul", graph.add("Gather", before, row), _integers(new))
  rest = graph.add(
    "Mul", graph.add("Gather", padded, row), graph.reshape(part, (-1, 1))
  )
  sums = graph.add("Add", whole, rest)
  upper = graph.add("Slice", sums, _integers(1), _integers(new + 1))
  lower = graph.add("Slice", sums, _integers(0), _integers(new))
  return graph.add("Sub", upper, lower)


def _resize_probability(graph: Graph, value: str, program: Core) -> None:
  """Resamples `[1, r, r, k]` as `outputs.resize_probability` does."""
  side, masks = program.resolution, program.masks
  planes = graph.reshape(
    graph.add("Transpose", value, perm=[0, 3, 1, 2]), (masks, side, side)
  )
  height, width = (graph.add("Gather", "size", _integers(i)) for i in (0, 1))
  rows = _weights(graph, side, height)
  columns = graph.add("Transpose", _weights(graph, side, width), perm=[1, 0])
  tall = graph.add("MatMul", rows, planes)
  resized = graph.add("MatMul", tall, columns)
  graph.add("Transpose", resized, perm=[1, 2, 0], output=OUTPUTS[0])


def _weights(graph: Graph, old: int, new: str) -> str:
  """The weights `[new, old]` of a bilinear resampling that antialiases."""
  zero, one = np.array(0, np.int64), np.array(1, np.int64)
  count = graph.add("Range", zero, graph.add("Squeeze", new), one)
  odd = graph.add("Add", graph.add("Mul", count, _integers(2)), one)
  centres = graph.reshape(graph.add("Mul", odd, _integers(old)), (-1, 1))
  places = graph.add("Mul", 2 * np.arange(old, dtype=np.int64) + 1, new)
  distance = _float(graph, graph.add("Abs", graph.add("Sub", places, centres)))
  longer = graph.add("Max", new, _integers(old))
  support = _float(graph, graph.add("Mul", longer, _integers(2)))
  near = graph.add(
    "Sub", np.ones(1, np.float32), graph.add("Div", distance, support)
  )
  weights = graph.add("Max", near, np.zeros(1, np.float32))
  total = graph.add("ReduceSum", weights, _integers(1), keepdims=1)
  return graph.add("Div", weights, total)


def _float(graph: Graph, value: str) -> str:
  return graph.add("Cast", value, to=1)
