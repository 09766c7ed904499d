"""The model card of a ticket, in Hugging Face's format: numbers that were measured or computed when
the card was written, and what the ticket's maker states, marked so.

Metadata may come from any program: what is not there is left out, and what would be markup or
another line is taken out of every text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from spiketicket.machine.sizes import file_size
from spiketicket.recipe.registry import is_custom
from spiketicket.ticket import TicketSummary
from spiketicket.ticket.drawn_signs import signs_searched
from spiketicket.ticket.schema import has_layers
from spiketicket.verdict.outcomes import of_today

_TAGS = ["spiketicket", "spiking-neural-network", "lottery-ticket", "pruning", "binary-weights"]


def model_card(
    name: str,
    metadata: Mapping[str, Any],
    sizes: TicketSummary,
    *,
    recipe_hash: str | None,
    accuracy: tuple[float, int] | None,
) -> str:
    """Markdown with a YAML head.

    Args:
        name: the model's.
        metadata: the ticket's.
        sizes: of its file.
        recipe_hash: of the ``recipe.toml`` beside it, if there is one.
        accuracy: percent of so many test samples as measured now, or None.
    """
    parts = [
        _head(name, metadata, accuracy),
        f"# {_plain(name)}",
        "A lottery ticket in a spiking neural network, found by spiketicket:"
        f" which of a random network's weights are kept{_signs(metadata, sizes)}.",
        _facts(metadata, sizes, recipe_hash, accuracy),
        _verdict(metadata),
        _use(metadata, has_recipe=recipe_hash is not None),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _signs(metadata: Mapping[str, Any], sizes: TicketSummary) -> str:
    if signs_searched(metadata):
        return ", and which of these are inverted: the search chose the signs that the file stores"
    return ", and one sign each" if any(row.kind == "binary" for row in sizes.layers) else ""


def _head(name: str, metadata: Mapping[str, Any], accuracy: tuple[float, int] | None) -> str:
    """JSON strings are YAML, so that no text can leave its place."""
    data = _plain(_table(metadata, "data").get("name") or "")
    lines = ["---", "library_name: spiketicket", "pipeline_tag: image-classification"]
    lines += [f"tags: {json.dumps(_TAGS)}"]
    if data:
        lines += [f"datasets: {json.dumps([data])}"]
    if data and accuracy is not None:
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": data, "type": data},
            "metrics": [{"type": "accuracy", "value": round(accuracy[0] / 100, 6)}],
        }
        index = [{"name": _plain(name), "results": [result]}]
        lines += ["metrics: [accuracy]", f"model-index: {json.dumps(index)}"]
    return "\n".join([*lines, "---"])


def _facts(
    metadata: Mapping[str, Any],
    sizes: TicketSummary,
    recipe_hash: str | None,
    accuracy: tuple[float, int] | None,
) -> str:
    network = _table(metadata, "network")
    data, recipe = _table(metadata, "data"), _table(metadata, "recipe")
    rows: list[tuple[str, object]] = [
        ("test accuracy", _percent(accuracy)),
        ("data", data.get("name")),
        ("data licence", metadata.get("licence")),
        ("condition", metadata.get("condition")),
        ("network", network.get("name")),
        ("weights kept", f"{sizes.kept:,} of {sizes.size:,} ({100 * sizes.density:.4g} %)"),
        ("file", f"{file_size(sizes.file_bytes)}; as dense float32 {sizes.dense_bytes:,}"),
        ("recipe", recipe.get("name")),
        ("recipe hash", recipe_hash),
        ("seed", metadata.get("seed")),
    ]
    lines = ["| | |", "| --- | --- |"]
    lines += [f"| {key} | {_plain(value)} |" for key, value in rows if value is not None]
    return "\n".join(lines)


def _verdict(metadata: Mapping[str, Any]) -> str:
    sentences = of_today(_table(metadata, "verdict")).get("sentences")
    if not isinstance(sentences, list) or not sentences:
        return ""
    head = "## Verdict\n\nStated by its maker, not measured here: "
    return head + " ".join(_plain(sentence) for sentence in sentences)


def _use(metadata: Mapping[str, Any], *, has_recipe: bool) -> str:
    network, whole = _table(metadata, "network").get("name"), has_layers(metadata)
    own = is_custom(network)
    make = "load_into(my_network, ticket)" if own and not whole else "from_ticket(ticket)"
    lines = [
        "## Use",
        "```python",
        "import spiketicket",
        "",
        'ticket = spiketicket.Ticket.load("model.ticket")',
        f"net = spiketicket.{make}",
        "```",
    ]
    if has_recipe:
        # Only a name that can be no other command line; the recipe says it too.
        again = "spiketicket find recipe.toml"
        again = f"spiketicket find recipe.toml --network {network}" if own else again
        lines += [
            "",
            f"`{again}` makes it again, with all its controls.",
        ]
    if own:
        lines += [
            "",
            "Its network is not part of spiketicket"
            + (", but the ticket holds its layers. Its code is needed to train it again" * whole)
            + ": who names it runs its code, which must be at hand and trusted.",
        ]
    return "\n".join(lines)


def _percent(accuracy: tuple[float, int] | None) -> str:
    if accuracy is None:
        return "not measured here; spiketicket verify does where the data is"
    return f"{accuracy[0]:.2f} % of {accuracy[1]} samples, measured when this card was written"


def _table(metadata: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = metadata.get(key)
    return value if isinstance(value, dict) else {}


def _plain(value: object) -> str:
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return re.sub(r"[|<>`\[\]#*]", " ", text)[:1000].strip()
