"""The C files of a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from spiketicket._version import __version__
from spiketicket.export.c.chain import Chain, Layer
from spiketicket.export.c.example import example
from spiketicket.export.c.header import Facts, Sizes, header, layout
from spiketicket.export.c.pixels import End, encoder_part, first_layer, readout
from spiketicket.export.c.source import define
from spiketicket.export.c.tables import LayerTables, Map, Types, layer_tables, place_maps, types_of
from spiketicket.export.c.thresholds import plane_thresholds


@dataclass(frozen=True, kw_only=True)
class Source:
    """The text of the files."""

    header: str
    source: str
    main: str
    """An example around them."""
    sizes: Sizes


def write_source(chain: Chain, name: str, classes: Sequence[str]) -> Source:
    """The files, named ``name``; ``classes`` are the names of its outputs."""
    program = chain.program
    maps, words = place_maps(chain)
    steps = program.steps
    planes = tuple(plane_thresholds(layer, steps) for layer in chain.layers[1:])
    types = types_of(planes)
    tables = tuple(
        layer_tables(i, layer, (maps[i - 1], maps[i]), made, types)
        for i, (layer, made) in enumerate(zip(chain.layers[1:], planes, strict=True), 1)
    )
    ends = first_layer(chain, maps[0]), readout(chain, maps[-1])
    encoder = encoder_part(chain)
    limits = _limits(chain, maps, tables, words)
    sizes = _sizes(chain, tables, (*ends, *([encoder] if encoder else [])), limits)
    macros = "".join(define(key, value) for key, value in limits.items())
    return Source(
        header=_header(chain, name, sizes, classes),
        source=_source(chain, name, (macros, _types(chain, types), tables, ends, encoder)),
        main=example(name, *_kinds(chain), layout(program), whole=chain.readout.whole),
        sizes=sizes,
    )


def _limits(
    chain: Chain, maps: tuple[Map, ...], tables: tuple[LayerTables, ...], words: int
) -> dict[str, int]:
    """Sizes of the arrays in RAM."""
    inputs = maps[: len(tables)]
    blocks = [m.blocks for m in inputs] + [-(-chain.layers[0].output.width // 32)]
    return {
        "STEPS": chain.program.steps,
        "RAM_WORDS": words,
        "SYNAPSES": len(tables),
        "WORDS": max(blocks),
        "SLOTS": max((m.slabs * m.blocks for m in inputs), default=1),
        "GROUP": max((_group(layer) for layer in chain.layers[1:]), default=1),
        "KERNEL": max((layer.signs.shape[3] for layer in chain.layers[1:]), default=1),
        "PLANES": max((table.planes.planes for table in tables), default=3),
        "POOL_SUMS": int(any(layer.pool_sums for layer in chain.layers[1:])),
        "FRACTION": max((table.planes.fraction for table in tables), default=0),
        "WIDE_LISTS": int(any(not table.narrow for table in tables)),
        "NARROW_LISTS": int(any(table.narrow for table in tables)),
        "FALLBACK": int(any(table.planes.bands.any() for table in tables)),
    }


def _group(layer: Layer) -> int:
    """Rows whose neurons are computed together, as ``group_of`` in the C code."""
    width = layer.input.width // (2 if layer.pool_sums else 1)
    return 1 if width > 16 else min(32 // width, layer.output.height)


def _sizes(
    chain: Chain, tables: tuple[LayerTables, ...], ends: tuple[End, ...], limits: dict[str, int]
) -> Sizes:
    words = limits["RAM_WORDS"] + 3 * limits["STEPS"] * limits["WORDS"]
    if tables:
        words += (limits["GROUP"] * limits["SLOTS"] + limits["WORDS"]) * limits["PLANES"]
        words += limits["KERNEL"] * limits["WORDS"]
        words += limits["POOL_SUMS"] * limits["WORDS"] * limits["PLANES"]
    floats = [
        layer.name
        for layer, table in zip(chain.layers[1:], tables, strict=True)
        if table.planes.bands.any()
    ]
    named = [chain.encoder.name] if chain.encoder else []
    named += [*([chain.layers[0].name] if ends[0].floats else []), *floats]
    parts: list[LayerTables | End] = [*tables, *ends]
    return Sizes(
        weight_bytes=sum(part.weight_bytes for part in parts),
        table_bytes=sum(part.table_bytes for part in parts),
        ram_bytes=4 * words + sum(end.ram_bytes for end in ends),
        float_layers=tuple(named + ([chain.readout.name] if ends[1].floats else [])),
    )


def _kinds(chain: Chain) -> tuple[str, str]:
    """C types of a pixel and of a logit."""
    pixel = "float" if chain.program.lut is None else "uint8_t"
    return pixel, "int32_t" if chain.readout.whole else "float"


def _types(chain: Chain, types: Types) -> str:
    pixel, logit = _kinds(chain)
    kinds = {
        "raw": pixel,
        "pixel": pixel,
        "logit": logit,
        "threshold": types.threshold,
        "band": types.band,
    }
    if chain.encoder is not None:  # what the first layer reads is no image of the user's
        kinds["pixel"] = "float"
    return "".join(f"typedef {kind} {name};\n" for name, kind in kinds.items())


def _header(chain: Chain, name: str, sizes: Sizes, classes: Sequence[str]) -> str:
    pixel, logit = _kinds(chain)
    facts = Facts(
        title=_title(chain), exactness=_exactness(sizes), pixel=pixel, logit=logit, traced=True
    )
    scale = None
    if chain.readout.whole:
        scale = float(chain.readout.affine.alpha) / chain.readout.divisor
    return header(chain.program, name, sizes, classes, replace(facts, scale=scale))


def _title(chain: Chain) -> str:
    program = chain.program
    return (
        f"A spiking network of {len(chain.layers)} layers and a classifier, {program.steps} time "
        f"steps.\n * Written by spiketicket {__version__}."
    )


def _exactness(sizes: Sizes) -> str:
    if not sizes.float_layers:
        return "All arithmetic is on whole numbers; spikes equal those of the network in float32."
    # A ticket's layers may be called anything, and this stands in a comment.
    names = ", ".join(re.sub(r"[^\w.]", "_", n, flags=re.ASCII) for n in sizes.float_layers)
    return (
        "Spikes equal those of the network in float32. Whole numbers decide, and float32 where\n"
        f" * they are too near to a threshold; these layers have float code: {names}."
    )


def _source(
    chain: Chain,
    name: str,
    parts: tuple[str, str, tuple[LayerTables, ...], tuple[End, End], End | None],
) -> str:
    macros, types, tables, (first, last), encoder = parts
    program, upper = chain.program, name.upper()
    sides = {
        key: getattr(program, key.lower())
        for key in ("FRAMES", "CHANNELS", "HEIGHT", "WIDTH", "CLASSES")
    }
    if chain.encoder is not None:
        sides["CHANNELS"] = chain.encoder.planes
    input_macros = "".join(define(key, value) for key, value in sides.items())
    runtime = {part: _runtime(part) for part in ("spikes", "pooling", "layers", "first", "readout")}
    narrow = {table.narrow for table in tables}
    lists = "".join(_LISTS[kind] + _runtime("list") for kind in sorted(narrow))
    entries = "".join(table.entry for table in tables)
    array_of_layers = f"static const synapse layers[SYNAPSES] = {{\n{entries}}};\n"
    before = ""
    if encoder is None:
        input_macros += define("ENCODED_ROWS", 0)
    else:
        input_macros += encoder.macros
        before = f"{encoder.arrays}\n{_runtime('encoder')}\n"
    run = "    for (unsigned i = 0; i < SYNAPSES; i++) run_synapse(&layers[i], i + 1u);\n"
    return f"""\
/* {_title(chain)} See {name}.h. */
#include "{name}.h"

#include <stddef.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "float32 must be rounded as written: compile without -ffast-math"
#endif

{macros}{input_macros}{first.macros}{last.macros}
#ifdef {upper}_TRACE
#define TRACE {name}_trace
#else
#define TRACE(layer, step, channel, row, bits) ((void)0)
#endif

{types}
{runtime["spikes"]}
{lists}
{runtime["pooling"]}
{runtime["layers"]}
{"".join(table.arrays for table in tables)}
{array_of_layers if tables else ""}
{before}{first.arrays}
{runtime["first"]}
{last.arrays}
{runtime["readout"]}
void {name}_run(const raw *image, logit *logits)
{{
    run_first(image);
{run if tables else ""}    run_readout(logits);
}}

int {name}_classify(const raw *image)
{{
    logit logits[CLASSES];
    int best = 0;
    {name}_run(image, logits);
    for (int i = 1; i < CLASSES; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}}
"""


_LISTS = {
    False: """\
#define ADD_LIST add_wide
#define MOST_GAP 255u
#define START_GAPS ((void)0)
#define NEXT_GAP(gap) ((gap) = *weights++)
""",
    True: """\
#define ADD_LIST add_narrow
#define MOST_GAP 15u
#define START_GAPS uint32_t halves = 1u /* a 1 above what is left of a byte */
#define NEXT_GAP(gap) \\
    do { \\
        if (halves == 1u) halves = *weights++ | 256u; \\
        (gap) = halves & 15u; \\
        halves >>= 4; \\
    } while (0)
""",
}


def _runtime(part: str) -> str:
    return files("spiketicket.export.c").joinpath("runtime", f"{part}.c").read_text("ascii")
