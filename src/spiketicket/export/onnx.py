"""ONNX, by ``torch.export`` and ``torch.onnx``; the time steps are unrolled.

Input ``x``: normalised images ``[batch, C, H, W]``, or frames ``[T, batch, C, H, W]``. Output
``logits``: ``[batch, classes]``, averaged over time. What
``torch.export`` cannot follow is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.export.needs import first_line, foreign, needed
from spiketicket.export.trace import traced
from spiketicket.machine.files import write_bytes
from spiketicket.machine.typed import typed

_ROUNDING = 1e-4
_FLIPPED_SHARE = 0.05
"""Of the samples; rounding makes about one in three hundred fire differently."""


@typed
def write_onnx(
    model: nn.Module, example: Tensor, path: Path | str, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a network as one ONNX file, whole or not at all.

    Args:
        model: as ``spiketicket.from_ticket`` makes it, or any module of one input and output.
        example: an input; its batch may have any size.
        path: the file.
        metadata: JSON by name; every value is put into the file as a JSON text.

    Raises:
        UserError: a package is missing, the network cannot be followed, ONNX has no form of one of
            its operators, or the file is not written.
    """
    onnx = needed("onnx", "onnx")
    needed("onnxscript", "onnx")
    program = traced(model, example)
    facts = {key: json.dumps(value) for key, value in (metadata or {}).items()}
    remedy = "Export it to torch or to pt2"
    name = type(model).__name__
    with foreign("the ONNX exporter failed", value=name, remedy=remedy, reason=_reason):
        made = torch.onnx.export(
            program,
            (),
            dynamo=True,
            input_names=["x"],
            output_names=["logits"],
            verbose=False,
            custom_translation_table={torch.ops.aten.sort.stable: _stable_sort},
        )
        if made is None:
            raise UserError("torch.onnx made no file", where="export")
        proto = made.model_proto
        for node in proto.graph.node:
            # Stack traces of this machine: they say nothing of the network.
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
        _name_batch(proto, 1 if example.dim() == 5 else 0)
        onnx.helper.set_model_props(proto, facts)
        onnx.checker.check_model(proto)
        content = proto.SerializeToString()
    write_bytes(Path(path), content, "path")


def _stable_sort(
    scores: Any, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> Any:
    """``aten.sort.stable`` in ONNX: TopK of all, which puts the lower index first among equals."""
    from onnxscript import opset18

    del stable
    op: Any = opset18
    size = op.Gather(op.Shape(scores), op.Constant(value_ints=[dim]))
    return op.TopK(scores, size, axis=dim, largest=int(descending), sorted=1)


def _name_batch(proto: Any, axis: int) -> None:
    """Call the batch's axis ``batch`` in all shapes, where the exporter has a name of its own.

    Raises:
        UserError: its size is fixed.
    """
    graph = proto.graph
    symbol = graph.input[0].type.tensor_type.shape.dim[axis].dim_param
    if not symbol:
        raise UserError("the exporter fixed the batch's size", where="export")
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = re.sub(rf"\b{re.escape(symbol)}\b", "batch", size.dim_param)


_OPERATOR = re.compile(
    r"OpOverload\(op='(?P<op>[\w.:]+)', overload='(?P<overload>\w+)'|torch\.ops\.(?P<target>[\w.]+)"
)


def _reason(error: Exception) -> str:
    """Names the operator that ONNX lacks, where the exporter says which."""
    found: BaseException | None = error
    while found is not None:
        if match := _OPERATOR.search(str(found)):
            operator = match["target"] or f"{match['op']}.{match['overload']}"
            return f"it cannot express the operator {operator}"
        found = found.__cause__ or found.__context__
    return first_line(error)


@dataclass(frozen=True, kw_only=True)
class OnnxCheck:
    """How ONNX Runtime's answers compare with the network's."""

    runtime: str
    samples: int
    largest_difference: float
    """Of a logit, over the samples in which no spike flipped by rounding."""
    flipped_samples: int
    """Samples whose logits differ by more than rounding alone: a spike at the threshold flipped."""
    changed_classes: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


@typed
def check_onnx(path: Path | str, model: nn.Module, x: Tensor) -> OnnxCheck:
    """Compute a file in ONNX Runtime on ``x`` (as the network takes it) and compare the logits.

    Raises:
        UserError: ``onnxruntime`` is not installed, or the answers are not the network's.
    """
    runtime: Any = needed("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # its threads would wait in a loop, see spiketicket.machine.cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors, which are raised too
    with foreign("ONNX Runtime cannot run the network", where=str(path)):
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        answers = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    theirs = torch.from_numpy(answers[0])
    with torch.no_grad():
        ours = model.eval()(x)
    scale = max(1.0, float(ours.abs().max()))
    difference = (theirs - ours).abs().amax(1)
    flipped = difference > _ROUNDING * scale
    if int(flipped.sum()) > max(1, _FLIPPED_SHARE * len(ours)):
        raise UserError(
            "ONNX Runtime computes another function",
            where=str(path),
            value=f"{int(flipped.sum())} of {len(ours)} samples differ",
        )
    largest = float(difference[~flipped].max()) if bool((~flipped).any()) else 0.0
    changed = int((theirs.argmax(1) != ours.argmax(1)).sum())
    found = f"ONNX Runtime {runtime.__version__}"
    return OnnxCheck(
        runtime=found,
        samples=len(ours),
        largest_difference=largest,
        flipped_samples=int(flipped.sum()),
        changed_classes=changed,
    )
