"""Test every ticket of the zoo from its shipped file.

python benchmarks/zoo.py            a line per ticket into results/zoo.jsonl
python benchmarks/zoo.py --index    write src/spiketicket/ticket/zoo/index.toml from the files there
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

import tomli_w
import torch

from spiketicket.errors import UserError
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.experiment.provenance import machine
from spiketicket.ticket import describe, read_metadata, zoo

ROOT = Path(__file__).parent.parent
FOLDER = Path(zoo.__file__).parent


def main() -> None:
    """Write the index, or the results."""
    if "--index" in sys.argv[1:]:
        entries = {path.stem: entry(path) for path in sorted(FOLDER.glob("*.ticket"))}
        (FOLDER / "index.toml").write_text(tomli_w.dumps(entries))
        return
    lines = [json.dumps(line(ticket), sort_keys=True) for ticket in zoo.list_tickets()]
    (ROOT / "results" / "zoo.jsonl").write_text("".join(f"{text}\n" for text in lines))


def entry(path: Path) -> dict[str, object]:
    """What the index says of a file."""
    meta, sizes = read_metadata(path), describe(path)
    return {
        "recipe": meta["recipe"]["name"],
        "recipe_hash": meta["recipe_hash"],
        "tune": meta["recipe"]["train"].get("tune", "off"),  # not there before rates were tuned
        "seed": meta["seed"],
        "data": meta["data"]["name"],
        "network": meta["network"]["name"],
        "condition": meta["condition"],
        "test_accuracy": meta["accuracy"]["test"],
        "test_count": meta["accuracy"]["test_count"],
        "density": sizes.density,
        "file_bytes": sizes.file_bytes,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def line(ticket: zoo.ZooTicket) -> dict[str, object]:
    """A ticket tested anew."""
    started = time.perf_counter()
    facts: dict[str, object] = {**ticket.to_dict(), **machine(torch.device("cpu"))}
    try:
        found = evaluate_ticket(zoo.find_ticket(ticket.name).path)
    except UserError as error:
        return {**facts, "not_tested": str(error)}
    return {
        **facts,
        "evaluated_accuracy": found.test_accuracy,
        "wall_s": round(time.perf_counter() - started, 3),
    }


if __name__ == "__main__":
    main()
