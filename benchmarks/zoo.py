"""Test every ticket of the zoo from its shipped file.

python benchmarks/zoo.py            a line per ticket into results/zoo.jsonl
python benchmarks/zoo.py --index    write src/spiketicket/ticket/zoo/index.toml from the files there
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import tomli_w
import torch

from spiketicket.errors import UserError
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.experiment.provenance import machine
from spiketicket.recipe.named import override_texts, packaged_recipes
from spiketicket.recipe.read import as_written, load_recipe, parse_recipe, to_toml
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
        "changes": changes(meta["recipe"]),
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


def changes(tables: dict[str, Any]) -> list[str]:
    """What a recipe, as a ticket states it, changes in the one of its name in the package."""
    stated = override_texts(tomllib.loads(to_toml(parse_recipe(as_written(tables)))))
    packaged = override_texts(
        tomllib.loads(to_toml(load_recipe(packaged_recipes()[tables["name"]])))
    )
    return [text for text in stated if text not in packaged]


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
