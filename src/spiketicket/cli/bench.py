"""``spiketicket bench``: a ticket's speed beside the frameworks a user has today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from spiketicket.cli.declare import Exit, Option
from spiketicket.cli.guard import SOME_FAILED
from spiketicket.cli.options import (
    Device,
    JsonOption,
    MaxMemoryOption,
    QuietOption,
    RootOption,
    TicketArgument,
    require_device,
    require_there,
)
from spiketicket.machine.output import say_whole, tell


def bench(
    ticket: TicketArgument,
    *,
    batch: Annotated[str, Option("--batch", metavar="N,N...", help="Images a call.")] = "1,32",
    threads: Annotated[
        str, Option("--threads", metavar="N,N...", help="Threads, each on a core of its own.")
    ] = "1",
    peers: Annotated[
        str, Option("--peers", metavar="NAME,...", help="Whom to compare. Default: all.")
    ] = "",
    rounds: Annotated[int, Option("--rounds", min=1, help="Turns of every peer.")] = 7,
    images: Annotated[
        int, Option("--images", min=1, help="Test images whose logits are compared.")
    ] = 64,
    output: Annotated[
        Path | None, Option("-o", "--out", help="Also write the JSON to this file.")
    ] = None,
    svg: Annotated[Path | None, Option("--svg", help="Also draw it into this file.")] = None,
    root: RootOption = "",
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time the engine, PyTorch, SpikingJelly, ONNX Runtime and OpenVINO on one ticket, in turns.

    Every peer runs in a process of its own on pinned cores, and only if its logits are those of
    the ticket's PyTorch model. The exit code is 1 if one failed or computed something else.
    """
    require_there(ticket)
    require_device(Device.cpu)

    from spiketicket.bench.compare import Plan, compare, failures
    from spiketicket.cli.print_bench import print_compared

    plan = Plan(
        batches=_numbers(batch, "--batch"),
        threads=_numbers(threads, "--threads"),
        peers=tuple(name.strip() for name in peers.split(",") if name.strip()),
        rounds=rounds,
        images=images,
    )
    for name, path in (("output", output), ("svg", svg)):
        _prepare(path, name)

    def say(line: str) -> None:
        if not (quiet or as_json):
            tell(line)

    result = compare(ticket, plan, root=root, say=say)
    found = json.dumps(result, indent=1, sort_keys=True)
    if output is not None:
        _write(output, f"{found}\n", "output")
    if svg is not None:
        from spiketicket.bench.figure import figure

        _write(svg, figure([result]).file, "svg")
    if as_json:
        say_whole(found)
    else:
        print_compared(result)
    if failures(result):
        raise Exit(SOME_FAILED)


def _numbers(text: str, where: str) -> tuple[int, ...]:
    from spiketicket.errors import UserError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) >= 1 for part in parts):
        raise UserError(
            "must be numbers with commas between, such as 1,32", where=where, value=text
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


def _prepare(path: Path | None, name: str) -> None:
    from spiketicket.machine.files import explained

    if path is not None:
        with explained(path, name):
            path.parent.mkdir(parents=True, exist_ok=True)


def _write(path: Path, content: str, name: str) -> None:
    from spiketicket.machine.files import write_bytes

    write_bytes(path, content.encode(), name)
