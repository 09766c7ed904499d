"""ONNX, by ``torch.export`` and ``torch.onnx``; the time steps are unrolled.

Input ``x``: normalised images ``[batch, C, H, W]``, or frames ``[T, batch, C, H, W]``. Output
``logits``: ``[batch, classes]``, averaged over time. What
``torch.export`` cannot follow is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spiketicket._files import write_bytes
from spiketicket.errors import UserError
from spiketicket.export._needs import needed, silence
from spiketicket.export._trace import traced

_ROUNDING = 1e-4
_FLIPPED_SHARE = 0.05
"""Of the samples; rounding makes about one in three hundred fire differently."""


def write_onnx(
    model: nn.Module, example: Tensor, path: Path | str, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a network as one ONNX file, whole or not at all.

    Args:
        model: as ``spiketicket.from_ticket`` makes it, or any module of one input and output.
        example: an input; its batch may have any size.
        path: the file.
        metadata: texts to put into the file.

    Raises:
        UserError: a package is missing, the network cannot be followed, or the file not written.
    """
    onnx = needed("onnx", "onnx")
    needed("onnxscript", "onnx")
    program = traced(model, example)
    with silence():
        made = torch.onnx.export(
            program, (), dynamo=True, input_names=["x"], output_names=["logits"], verbose=False
        )
        if made is None:
            raise UserError("torch.onnx made no file", where="export")
        proto = made.model_proto
        for node in proto.graph.node:
            # Stack traces of this machine: they say nothing of the network.
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
        onnx.helper.set_model_props(proto, dict(metadata or {}))
        onnx.checker.check_model(proto)
    write_bytes(Path(path), proto.SerializeToString())


@dataclass(frozen=True)
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


def check_onnx(path: Path | str, model: nn.Module, x: Tensor) -> OnnxCheck:
    """Run a file in ONNX Runtime on ``x`` (as the network takes it) and compare the logits.

    Raises:
        UserError: ``onnxruntime`` is not installed, or the answers are not the network's.
    """
    runtime: Any = needed("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # its threads would wait in a loop, see spiketicket._cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    theirs = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    with torch.no_grad():
        ours = model.eval()(x)
    scale = max(1.0, float(ours.abs().max()))
    difference = (theirs - ours).abs().amax(1)
    flipped = difference > _ROUNDING * scale
    if int(flipped.sum()) > max(1, _FLIPPED_SHARE * len(ours)):
        raise UserError(
            "ONNX Runtime computes another function", where=str(path),
            value=f"{int(flipped.sum())} of {len(ours)} samples differ",
        )  # fmt: skip
    largest = float(difference[~flipped].max()) if bool((~flipped).any()) else 0.0
    changed = int((theirs.argmax(1) != ours.argmax(1)).sum())
    found = f"ONNX Runtime {runtime.__version__}"
    return OnnxCheck(found, len(ours), largest, int(flipped.sum()), changed)
