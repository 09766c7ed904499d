"""Writes an ONNX graph node by node. Needs the package ``onnx``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 18, 9
INPUT, OUTPUT = "images", "logits"


class Graph:
    """A graph under construction; tensors are named by strings, constants stored once."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: list[Any] = []
        self._count = 0

    def constant(self, value: Any, dtype: type[np.generic] = np.float32) -> str:
        """The name of a constant."""
        array: NDArray[Any] = np.ascontiguousarray(np.asarray(value, dtype))
        if np.ndim(value) == 0:
            array = array.reshape(())
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = f"c{len(self._constants)}"
            self._tensors.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """The name of a constant int64 vector: axes, shapes, sizes."""
        return self.constant(values, np.int64)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output; returns that."""
        (out,) = self.add_many(kind, inputs, 1, **attributes)
        return out

    def add_many(
        self, kind: str, inputs: Sequence[str], outputs: int, **attributes: Any
    ) -> list[str]:
        """Append a node with several outputs."""
        names = [f"v{self._count}_{i}" for i in range(outputs)]
        self._count += 1
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def cast(self, x: str) -> str:
        """Truth values as float32."""
        return self.add("Cast", x, to=TensorProto.FLOAT)

    def reshape(self, x: str, *shape: int) -> str:
        """``x`` in another shape."""
        return self.add("Reshape", x, self.integers(*shape))

    def reduce(self, kind: str, x: str, *axes: int) -> str:
        """``ReduceSum`` or ``ReduceMean`` over axes, which are dropped."""
        return self.add(kind, x, self.integers(*axes), keepdims=0)

    def model(
        self, result: str, shape: Sequence[int], logits_shape: Sequence[int]
    ) -> onnx.ModelProto:
        """The checked model from ``images`` float32 of ``shape`` to ``logits``."""
        self._nodes.append(helper.make_node("Identity", [result], [OUTPUT]))
        graph = helper.make_graph(
            self._nodes,
            "spiketicket",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, list(shape))],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, list(logits_shape))],
            self._tensors,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return model
