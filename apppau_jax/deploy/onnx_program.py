"""From a JAX program to ONNX operators, one equation after another.

What depends on weights alone is computed by JAX here and becomes a constant of
the graph; every other equation becomes operators (see `onnx_primitives`). So
any network is exported whose primitives are known, whatever its modules are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend import core

from apppau_jax.deploy import onnx_primitives
from apppau_jax.deploy.onnx_graph import Graph, Value

# The parameter that holds the inner program of each primitive that has one.
_INNER = {
  "checkpoint": "jaxpr",
  "closed_call": "call_jaxpr",
  "custom_jvp_call": "call_jaxpr",
  "custom_vjp_call": "call_jaxpr",
  "jit": "jaxpr",
  "remat2": "jaxpr",
}


def convert(
  program: core.ClosedJaxpr, graph: Graph, inputs: Sequence[Value]
) -> list[Value]:
  """Adds a program to a graph.

  Args:
    program: with static shapes.
    graph: where its operators are added.
    inputs: of the program.

  Returns:
    Its outputs.

  Raises:
    ConfigError: the program has a primitive without a counterpart.
  """
  return _walk(graph, program.jaxpr, program.consts, inputs)


def _walk(
  graph: Graph, jaxpr: Any, constants: Sequence[Any], inputs: Sequence[Value]
) -> list[Value]:
  values: dict[Any, Value] = dict(zip(jaxpr.invars, inputs))
  values |= {v: np.asarray(c) for v, c in zip(jaxpr.constvars, constants)}

  def read(atom: Any) -> Value:
    if isinstance(atom, core.Literal):
      kind: Any = atom.aval
      return np.asarray(atom.val, kind.dtype)
    return values[atom]

  for equation in jaxpr.eqns:
    found = _equation(graph, equation, [read(a) for a in equation.invars])
    values.update(zip(equation.outvars, found))
  return [read(atom) for atom in jaxpr.outvars]


def _equation(
  graph: Graph, equation: Any, inputs: list[Value]
) -> Sequence[Value]:
  inner = equation.params.get(_INNER.get(equation.primitive.name, ""))
  if inner is not None:
    jaxpr = getattr(inner, "jaxpr", inner)
    return _walk(graph, jaxpr, getattr(inner, "consts", ()), inputs)
  if any(isinstance(value, str) for value in inputs):
    return [onnx_primitives.add(graph, equation, inputs)]
  return _compute(equation, inputs)


def _compute(equation: Any, inputs: list[Any]) -> list[np.ndarray]:
  """Computes an equation of constants."""
  if equation.primitive.name == "broadcast_in_dim":  # a view takes no memory
    shape = equation.outvars[0].aval.shape
    placed = onnx_primitives.placed_shape(
      inputs[0].shape, equation.params["broadcast_dimensions"], len(shape)
    )
    return [np.broadcast_to(inputs[0].reshape(placed), shape)]
  found = equation.primitive.bind(*inputs, **equation.params)
  several = equation.primitive.multiple_results
  return [np.asarray(array) for array in (found if several else [found])]
