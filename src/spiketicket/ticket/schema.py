"""What a ticket may say of itself: every key that this package writes, with its type and range.

A file may come from anybody, so whoever uses a value of its metadata finds what is written here,
and nothing else. Every key may be absent. Keys that are not known here, a user's own or a newer
version's, hold any JSON of bounded depth, and no part of this package reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from spiketicket.recipe.shapes import TRANSFORMER_PRESETS, DataShape, Encoder
from spiketicket.recipe.weight_shapes import SHIPPED, Weights, weight_shapes
from spiketicket.ticket.codec import TicketError
from spiketicket.ticket.kinds import (
    MAX_TEXT,
    Anything,
    Flag,
    Items,
    Kind,
    Maybe,
    Number,
    Table,
    Text,
    Whole,
)

MAX_INPUT: Final = 1 << 28
"""Numbers in one input: 64 frames of 1280 by 720 pixels and two polarities are half of it."""
_WORD = Text(200, plain=True)
_NAMED = Table({"name": Text(plain=True)})
_SIDE, _CLASSES, _FRAMES = Whole(1, 65536), Whole(1, 65536), Whole(1, 64)
_COMMON: Final[Mapping[str, Kind]] = {
    "name": Text(plain=True),
    "timesteps": Whole(1, 64),
    "weights": _WORD,
    "bn_affine": Flag(),
    "width": Number(0, 64),
    "encoder": Text(200, pattern="|".join(get_args(Encoder))),
    # of a custom network
    "options": Table(),
    "leave": Items(Text(plain=True), 10_000),
}
"""Settings that every network has."""


@dataclass(frozen=True)
class _Model(Table):
    """Settings of a network. A network that is added to this package has settings of its own, which
    its ``Config`` judges.
    """

    def check(self, value: object, where: str) -> None:
        """See :class:`Kind`."""
        known = not isinstance(value, dict) or value.get("name") in (None, *SHIPPED)
        Table(self.fields if known else _COMMON).check(value, where)


_MODEL = _Model(
    {
        **_COMMON,
        # of convnet, vgg9, resconv6 and resnet19
        "pooling": _WORD,
        "channels": Maybe(Items(Whole(1, 65536), 16)),
        "hidden": Whole(1, 1 << 20),
        "pools": Maybe(Whole(0, 6)),
        "first_stride": Whole(1, 2),
        "logit_norm": Flag(),
        "shortcuts": Flag(),
        # of the transformers
        "preset": Text(200, pattern="|".join(TRANSFORMER_PRESETS)),
        "dim": Maybe(Whole(8, 65536)),
        "depth": Maybe(Whole(0, 1024)),
        "heads": Maybe(Whole(1, 65536)),
        "mlp_ratio": Number(0, 64),
        "scale": Maybe(Number(0, 1e6)),
        "keep": Number(0, 1),
        "qkv_bias": Flag(),
        "rpe": Flag(),
        "rescale": Flag(),
        "pool_kernel": Whole(2, 3),
        "ranking_seed": Whole(),
        **dict.fromkeys(
            ("attention", "activation", "step", "ranker", "ranking", "execution"), _WORD
        ),
    }
)
_PAIR = Items(Whole(0, 65536), 2)
_OP = Table(
    {
        "op": Text(20, pattern=r"[a-z]+"),
        "name": Text(500, pattern=r"\w+(\.\w+)*(#\d+)?"),
        "in": Items(Whole(0, 16384), 2),
        "kind": Text(20, pattern=r"[a-z]+"),
        **dict.fromkeys(("stride", "padding", "dilation", "kernel"), _PAIR),
        **dict.fromkeys(("groups", "size"), Whole(1, 65536)),
        "charge": Whole(0, 4),
        **dict.fromkeys(
            ("flatten", "bias", "soft", "strict", "late", "keep", "own", "time", "positions"),
            Flag(),
        ),
        **dict.fromkeys(
            ("decay", "tau", "v_threshold", "v_reset", "v_rest", "rate", "factor", "eps"),
            Number(-1e30, 1e30),
        ),
    }
)
GRAPH = Table(
    {
        "version": Whole(1, 65536),
        "steps": Whole(1, 64),
        "frames": _FRAMES,
        **dict.fromkeys(("channels", "height", "width"), _SIDE),
        "classes": _CLASSES,
        "ops": Items(_OP, 16384),
    }
)
"""The layers of a custom network, as ``models/traced`` writes them."""
NETWORK = Table(
    {
        "name": Text(plain=True),
        # of a custom network: its layers, which the engine reads, or why it has none
        "graph": GRAPH,
        "untraced": Text(MAX_TEXT),
        "args": Table(
            {
                "model": _MODEL,
                "neuron": _NAMED,
                "shape": Table(
                    {
                        "channels": _SIDE,
                        "height": Whole(1, 1 << 20),
                        "width": Whole(1, 1 << 20),
                        "classes": _CLASSES,
                        "frames": _FRAMES,
                    }
                ),
            }
        ),
    }
)
_PERCENT = Maybe(Number(0, 100))
_RECIPE = Table(
    {
        "name": Text(64, pattern=r"[A-Za-z0-9][A-Za-z0-9_-]*"),
        "seed": Whole(),
        **dict.fromkeys(("data", "model", "neuron", "ticket"), _NAMED),
        **{section: Table() for section in ("train", "controls", "verdict")},
    }
)
SCHEMA = Table(
    {
        "accuracy": Table(
            {"test": _PERCENT, "validation": _PERCENT, "test_count": Whole(1, 1 << 48)}
        ),
        "stage": Text(200, plain=True),
        "arm": Text(200, plain=True),  # the same, of version 0.2 and earlier
        "classes": Items(Text()),
        "condition": Text(),
        "data": Table(
            {
                "checksum": Text(200),
                "config": Table(
                    {
                        "name": Text(plain=True),
                        "sensor": Maybe(Items(Whole(1, 65536), 2)),
                        "window_us": Maybe(Whole(1)),
                    }
                ),
                "name": Text(),
                "notes": Items(Text(MAX_TEXT), 1000),
            }
        ),
        "early_exit": Table(
            {
                "margin": Number(0, 1e30),
                "changed": Number(0, 100),
                "mean_steps": Number(0, 64),
                "validation_accuracy": Number(0, 100),
                "validation_count": Whole(1, 1 << 48),
            }
        ),
        "eval_batch_size": Whole(1, 1 << 31),
        "licence": Text(MAX_TEXT),
        "method": _NAMED,
        "network": NETWORK,
        "normalisation": Table({"mean": Items(Number()), "std": Items(Number(1e-30))}),
        "operations": Table({"images": Whole(1, 1 << 48)}, Table({}, Number(0))),
        "precision": Text(200, pattern="fp32|bf16"),
        "quantised": Table(  # of an int8 net: its layers, and the digest of the ticket it is of
            {
                "layers": Items(Text(plain=True)),
                "of": Text(200, pattern="[0-9a-f]{64}"),
                "test_before": _PERCENT,
            }
        ),
        "recipe": _RECIPE,
        "recipe_hash": Text(200, pattern="[0-9a-f]{10}"),
        "seed": Whole(0, (1 << 64) - 1),
        "signs": Whole(1),  # of a fine-tuned net, and how many are other than its ticket's
        "signs_flipped": Whole(),
        "tokens": Table({"of": Whole(1, 1 << 40)}),
        "verdict": Table(
            {
                "outcome": Text(),
                "sentences": Items(Text(MAX_TEXT), 1000),
                "seeds": Whole(1),
                "margin": Number(0),
                "confidence": Number(0, 1),
            }
        ),
        "versions": Table({}, Text()),
        "weights": Text(200, pattern="binary|float"),
    },
    Anything(),
)
"""The metadata, but for the file's own keys."""
FILE_SCHEMA = Table(
    {
        "layers": Items(Anything(), 1 << 20),
        "state_bytes": Whole(),
        "digest": Text(200, pattern="[0-9a-f]{64}"),
    },
    Anything(),
)


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata of which a known key holds something else than it must.

    Raises:
        TicketError: names the first of them, with dots between keys.
    """
    SCHEMA.check(metadata, "")
    check_network(metadata)


def check_network(metadata: Mapping[str, Any]) -> None:
    """Refuse what names a network and its arguments wrongly, or two networks.

    Raises:
        TicketError: as :func:`check_metadata`.
    """
    if "network" not in metadata:
        return
    network = metadata["network"]
    NETWORK.check(network, "network")
    shape = network.get("args", {}).get("shape", {})
    values = math.prod(shape.get(key, 1) for key in ("channels", "height", "width", "frames"))
    if values > MAX_INPUT:
        what = f"must be at most {MAX_INPUT} values of an input"
        raise TicketError(what, where="network.args.shape", value=shape)
    name = network.get("name")
    called = network.get("args", {}).get("model", {}).get("name", name)
    if called != name:
        remedy = f"network.name is {name!r}; both must be the same"
        raise TicketError(
            "names another network", where="network.args.model.name", value=called, remedy=remedy
        )


def network_weights(metadata: Mapping[str, Any]) -> Weights | None:
    """Layer and shape of every weight of the network that checked metadata names, lazily.

    None where it is none of this package's, or where its settings are not all there.

    Raises UserError, not before the first is asked for, where they do not go with the image.
    """
    network = metadata.get("network", {})
    args = network.get("args", {})
    model, shape = args.get("model"), args.get("shape", {})
    if model is None or not {"channels", "height", "width", "classes"} <= shape.keys():
        return None
    sides = {key: shape[key] for key in ("channels", "height", "width", "classes")}
    return weight_shapes(network.get("name", ""), model, DataShape(**sides))


def network_encoder(metadata: Mapping[str, Any]) -> str:
    """The encoder before the network that checked metadata names; "none" where it has none."""
    model = metadata.get("network", {}).get("args", {}).get("model", {})
    return str(model.get("encoder", "none"))


def has_layers(metadata: Mapping[str, Any]) -> bool:
    """Whether a ticket says which layers its custom network has, so that its code is not needed."""
    network = metadata.get("network")
    return isinstance(network, dict) and network.get("graph") is not None


def fields(table: Table = SCHEMA, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every known key, tables before what is in them."""
    for key, kind in table.fields.items():
        yield (*before, key)
        if isinstance(kind, Table):
            yield from fields(kind, (*before, key))
