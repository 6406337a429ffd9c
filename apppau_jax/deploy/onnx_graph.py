"""An ONNX graph that grows by one operator at a time."""

import hashlib
from typing import Any

import numpy as np

# A constant, or the name of a tensor that is computed from the graph's input.
Value = np.ndarray | str


class Graph:
  """Nodes and constants of an ONNX graph.

  Attributes:
    nodes: `onnx.NodeProto`, in an order in which they can be computed.
    constants: `onnx.TensorProto` by name; equal ones are stored once.
  """

  def __init__(self):
    self.nodes: list[Any] = []
    self.constants: dict[str, Any] = {}

  def add(
    self, op: str, *inputs: Value, output: str = "", **attributes: Any
  ) -> str:
    """Adds an operator with one output, and returns the output's name.

    Args:
      op: an operator of ONNX.
      *inputs: names of tensors, or constants.
      output: its name, where that matters.
      **attributes: of the operator.
    """
    from onnx import helper

    output = output or f"t{len(self.nodes)}"
    names = [v if isinstance(v, str) else self._constant(v) for v in inputs]
    self.nodes.append(helper.make_node(op, names, [output], **attributes))
    return output

  def reshape(self, value: Value, shape: tuple[int, ...]) -> str:
    """Adds a Reshape to a static shape."""
    return self.add("Reshape", value, np.array(shape, np.int64))

  def transpose(self, value: Value, axes: tuple[int, ...]) -> Value:
    """Transposes a constant at once, a tensor by an operator."""
    if axes == tuple(range(len(axes))):
      return value
    if isinstance(value, np.ndarray):
      return value.transpose(axes)
    return self.add("Transpose", value, perm=axes)

  def _constant(self, array: np.ndarray) -> str:
    from onnx import numpy_helper

    content = array.tobytes()
    kind = f"{array.dtype}{array.shape}".encode()
    name = "c" + hashlib.sha256(kind + content).hexdigest()[:32]
    if name not in self.constants:
      owned = np.frombuffer(content, array.dtype).reshape(array.shape)
      self.constants[name] = numpy_helper.from_array(owned, name)
    return name
