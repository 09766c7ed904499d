"""Shipped tickets as C on emulated boards: flash, RAM, instructions per decision.

    python benchmarks/boards.py [--record results/boards.jsonl]

What ``spiketicket export TICKET --to c --boards --json`` tells, packed and with ``--stream``: the
compilers and the emulator are those of ``spiketicket.export.boards``. The logits of every board are
those of the engine, or there is no line. Board by board, one line of JSON each.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from spiketicket._version import __version__
from spiketicket.engine.compile import compile_ticket
from spiketicket.export.board_figures import figures
from spiketicket.ticket import Ticket

CASES = (
    ("digits-binw", False),
    ("digits-binw", True),
    ("digits-events", False),
    ("digits-events", True),
    ("nmnist1k-vgg", False),
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", type=Path)
    given = parser.parse_args()
    lines = []
    for name, stream in CASES:
        program = compile_ticket(Ticket.load(name))
        for found in figures(program, {"stream": stream}):
            if found.absent:
                sys.exit(f"error: {found.board}: {found.absent}")
            about = {"ticket": name, "stream": stream, "steps": program.steps}
            lines.append(json.dumps({**about, **found.to_dict(), "spiketicket": __version__}))
            print(lines[-1], flush=True)
    if given.record:
        given.record.write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
