"""What exported C needs of a board: compiled for it, run in an emulator, held to the engine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine import reference
from spiketicket.engine.program import Program
from spiketicket.errors import UserError
from spiketicket.export.boards import BOARDS, LOGITS, Board, Linked, build
from spiketicket.export.c import export_c
from spiketicket.export.c.chain import read_chain

_NAME = "net"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one board; with ``absent``, why there are none."""

    board: str
    absent: str = ""
    compiler: str = ""
    flash_bytes: int = 0
    ram_bytes: int = 0
    stack_bytes: int = 0
    instructions: int = 0
    """Of a decision: one image or recording, all time steps."""
    step_instructions: int | None = None
    """Of its first time step alone, where the code has steps."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def figures(program: Program, options: Mapping[str, Any]) -> list[Figures]:
    """Every board's; ``options`` are those of ``export_c``. The input is drawn, always the same.

    Raises:
        UserError: a board's answer is not the engine's.
    """
    image = drawn_image(program)
    with tempfile.TemporaryDirectory() as folder:
        export_c(program, Path(folder), _NAME, **{**options, "kind": "c"})
        return [_of(board, Path(folder), program, image, options) for board in BOARDS.values()]


def drawn_image(program: Program) -> NDArray[Any]:
    """An input ``[frames, C, H, W]``: scattered events, or blocks of grey of 4 x 4 pixels."""
    rng, p = np.random.default_rng(0), program
    size = (p.frames, p.channels, p.height, p.width)
    if p.frames > 1:
        counts = rng.poisson(0.1, size)
    else:
        coarse = rng.integers(0, 256, (*size[:2], -(-p.height // 4), -(-p.width // 4)))
        counts = coarse.repeat(4, 2).repeat(4, 3)[..., : p.height, : p.width]
    return counts.astype(np.uint8 if p.lut is not None else np.float32)


def _of(
    board: Board, folder: Path, program: Program, image: NDArray[Any], options: Mapping[str, Any]
) -> Figures:
    if why := board.missing():
        return Figures(board=board.title, absent=why)
    steps = tuple(f"{_NAME}_{call}" for call in ("reset", "show", "step"))
    stream = bool(options.get("stream"))
    linked = build(board, folder, _NAME, keep=steps if stream else ())
    outcome = linked.run(image, program.classes)
    _hold(program, image, outcome.logits, board, whole=not stream)
    return Figures(
        board=board.title,
        compiler=board.compiler,
        flash_bytes=linked.flash_bytes,
        ram_bytes=linked.ram_bytes,
        stack_bytes=outcome.stack_bytes,
        instructions=outcome.instructions,
        step_instructions=_one_step(linked, image) if stream else None,
    )


def _one_step(linked: Linked, image: NDArray[Any]) -> int:
    linked.start()
    linked.call(f"{_NAME}_reset")
    linked.call(f"{_NAME}_show", linked.put(image[0]))
    return linked.call(f"{_NAME}_step", LOGITS)


def _hold(
    program: Program, image: NDArray[Any], logits: bytes, board: Board, *, whole: bool
) -> None:
    """Refuse logits that are not those of the definition, to the bit."""
    wanted = reference.run(program, image[None])[0]
    found = np.frombuffer(logits, np.float32)
    scale = _scale(program) if whole else None
    if scale is not None:
        found = np.frombuffer(logits, np.int32).astype(np.float32)
        wanted = np.rint(wanted / scale)
    if not np.array_equal(found, wanted):
        what = "computes other logits than the engine"
        raise UserError(what, where=board.title, value=found.tolist()[:10])


def _scale(program: Program) -> np.float32 | None:
    """What a whole logit of packed code is to be multiplied by; None of float logits."""
    try:
        readout = read_chain(program).readout
    except UserError:
        return None
    return np.float32(readout.affine.alpha / readout.divisor) if readout.whole else None
