"""JAX's primitives as ONNX operators: those that networks compute with.

Shapes are static. A constant that was broadcast is a view without memory: it
enters elementwise operators, which broadcast, at its size before.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax import lax

from apppau_jax.deploy.onnx_graph import Graph, Value
from apppau_jax.errors import ConfigError

_ELEMENTWISE = {
  "abs": "Abs",
  "add": "Add",
  "add_any": "Add",
  "ceil": "Ceil",
  "copy": "Identity",
  "div": "Div",
  "eq": "Equal",
  "erf": "Erf",
  "exp": "Exp",
  "floor": "Floor",
  "ge": "GreaterOrEqual",
  "gt": "Greater",
  "le": "LessOrEqual",
  "log": "Log",
  "logistic": "Sigmoid",
  "lt": "Less",
  "max": "Max",
  "min": "Min",
  "mul": "Mul",
  "neg": "Neg",
  "pow": "Pow",
  "sign": "Sign",
  "sqrt": "Sqrt",
  "stop_gradient": "Identity",
  "sub": "Sub",
  "tanh": "Tanh",
}
_LOGIC = {"and": "And", "or": "Or", "not": "Not"}  # of truth values
_REDUCTIONS = {
  "reduce_max": "ReduceMax",
  "reduce_min": "ReduceMin",
  "reduce_sum": "ReduceSum",
}
_RESHAPES = ("expand_dims", "reshape", "squeeze")
# Those whose output holds elements of the first input, each at a fixed place.
_REARRANGEMENTS = ("gather", "rev", "slice")


def add(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  """Adds the operators of an equation and returns the name of its output.

  Args:
    graph: where they are added.
    equation: of a jaxpr.
    inputs: of the equation, at least one not constant.

  Raises:
    ConfigError: the primitive has no counterpart here.
  """
  name = equation.primitive.name
  truths = all(v.aval.dtype == bool for v in equation.invars)
  if name in _ELEMENTWISE or (name in _LOGIC and truths):
    op = _ELEMENTWISE.get(name) or _LOGIC[name]
    return graph.add(op, *map(compact, inputs))
  if name in _REDUCTIONS:
    axes = np.array(equation.params["axes"], np.int64)
    return graph.add(_REDUCTIONS[name], *inputs, axes, keepdims=0)
  if name in _RESHAPES:
    return graph.reshape(inputs[0], equation.outvars[0].aval.shape)
  if name in _REARRANGEMENTS:
    return _rearrange(graph, equation, inputs)
  if name not in _OTHERS:
    raise ConfigError(
      f"The network computes {name!r}, which the export to ONNX does not know. "
      "Export it without ONNX (--noonnx), or add the operator to "
      "apppau_jax/deploy/onnx_primitives.py."
    )
  return _OTHERS[name](graph, equation, inputs)


def compact(value: Value) -> Value:
  """Returns a constant with size 1 along axes over which it was broadcast."""
  if isinstance(value, str):
    return value
  places = tuple(slice(0, None if s else 1) for s in value.strides)
  return value[places]


def _broadcast(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  shape = equation.outvars[0].aval.shape
  sizes = equation.invars[0].aval.shape
  axes = equation.params["broadcast_dimensions"]
  placed = graph.reshape(inputs[0], placed_shape(sizes, axes, len(shape)))
  return graph.add("Expand", placed, np.array(shape, np.int64))


def placed_shape(
  sizes: Sequence[int], axes: Sequence[int], rank: int
) -> tuple[int, ...]:
  """The shape of `rank` axes with these sizes at `axes`, and 1 elsewhere."""
  placed = dict(zip(axes, sizes))
  return tuple(placed.get(axis, 1) for axis in range(rank))


def _cast(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  from onnx import helper

  kind = helper.np_dtype_to_tensor_dtype(np.dtype(equation.params["new_dtype"]))
  return graph.add("Cast", inputs[0], to=kind)


def _clamp(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  low, value, high = map(compact, inputs)
  return graph.add("Min", graph.add("Max", value, low), high)


def _concatenate(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  return graph.add("Concat", *inputs, axis=equation.params["dimension"])


def _convolve(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  settings = equation.params
  numbers: Any = settings["dimension_numbers"]
  unusual = {*settings["lhs_dilation"], settings["batch_group_count"]} != {1}
  before, after = zip(*settings["padding"])
  if unusual or min(*before, *after) < 0:
    raise ConfigError(
      "The network has a dilated, cropped or grouped convolution that the "
      "export to ONNX does not know. Export it without ONNX (--noonnx)."
    )
  found = graph.add(
    "Conv",
    graph.transpose(inputs[0], tuple(numbers.lhs_spec)),
    graph.transpose(inputs[1], tuple(numbers.rhs_spec)),
    strides=settings["window_strides"],
    dilations=settings["rhs_dilation"],
    pads=(*before, *after),
    group=settings["feature_group_count"],
  )
  order = tuple(int(axis) for axis in np.argsort(numbers.out_spec))
  return str(graph.transpose(found, order))


def _log1p(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  return graph.add("Log", graph.add("Add", *inputs, np.ones(1, np.float32)))


def _matrix_product(
  graph: Graph, equation: Any, inputs: Sequence[Value]
) -> str:
  summed, batched = equation.params["dimension_numbers"]
  matrices = []
  for side, (value, variable) in enumerate(zip(inputs, equation.invars)):
    shape, own = variable.aval.shape, [*batched[side], *summed[side]]
    free = [axis for axis in range(len(shape)) if axis not in own]
    groups = ([*batched[side]], free, [*summed[side]])
    groups = groups if side == 0 else (groups[0], groups[2], groups[1])
    axes = tuple(axis for group in groups for axis in group)
    sizes = tuple(
      int(np.prod([shape[axis] for axis in group], dtype=int))
      for group in groups
    )
    matrices.append(graph.reshape(graph.transpose(value, axes), sizes))
  product = graph.add("MatMul", *matrices)
  return graph.reshape(product, equation.outvars[0].aval.shape)


def _pad(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  before, after, inner = zip(*equation.params["padding_config"])
  if any(inner):
    raise ConfigError(
      "The network pads between pixels, which the export to ONNX does not "
      "know. Export it without ONNX (--noonnx)."
    )
  widths = np.array([*before, *after], np.int64)
  return graph.add("Pad", inputs[0], widths, inputs[1])


def _power(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  exponent = np.array(equation.params["y"], equation.invars[0].aval.dtype)
  return graph.add("Pow", inputs[0], exponent)


def _rearrange(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  """Reads the first input, flat, at the places that JAX itself computes."""
  source, *places = inputs
  if any(isinstance(place, str) for place in places):
    raise ConfigError(
      "The network reads at places that it computes, which the export to ONNX "
      "does not know. Export it without ONNX (--noonnx)."
    )
  shape = equation.invars[0].aval.shape
  numbers = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)
  chosen = equation.primitive.bind(numbers, *places, **equation.params)
  flat = graph.reshape(source, (-1,))
  return graph.add("Gather", flat, np.asarray(chosen), axis=0)


def _select(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  which, if_false, if_true = inputs
  if equation.invars[0].aval.shape == equation.outvars[0].aval.shape:
    which, if_false, if_true = map(compact, inputs)
  return graph.add("Where", which, if_true, if_false)


def _then(*ops: str) -> Callable[..., str]:
  """One operator after the other."""

  def chain(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
    value = graph.add(ops[0], *map(compact, inputs))
    return graph.add(ops[1], value)

  return chain


def _square(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  return graph.add("Mul", inputs[0], inputs[0])


def _transpose(graph: Graph, equation: Any, inputs: Sequence[Value]) -> str:
  return str(graph.transpose(inputs[0], equation.params["permutation"]))


_OTHERS: dict[str, Callable[[Graph, Any, Sequence[Value]], str]] = {
  lax.broadcast_in_dim_p.name: _broadcast,
  "clamp": _clamp,
  "concatenate": _concatenate,
  "conv_general_dilated": _convolve,
  "convert_element_type": _cast,
  "dot_general": _matrix_product,
  "integer_pow": _power,
  "log1p": _log1p,
  "ne": _then("Equal", "Not"),
  "pad": _pad,
  "rsqrt": _then("Sqrt", "Reciprocal"),
  "select_n": _select,
  "square": _square,
  "transpose": _transpose,
}
