"""The header of a network's C files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spiketicket.engine.program import Program
from spiketicket.export.c.names import name_array
from spiketicket.export.c.source import define, number


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Bytes by what the files declare; the code itself comes on top of the flash."""

    weight_bytes: int
    table_bytes: int
    ram_bytes: int
    float_layers: tuple[str, ...]
    """Layers in which some sums are decided in float32, or all of whose sums are float32."""

    @property
    def flash_bytes(self) -> int:
        """Constant tables."""
        return self.weight_bytes + self.table_bytes


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a header says beside the sizes.

    Args:
        title: of the network, in a comment.
        exactness: how its numbers are those of the network, in a comment.
        pixel, logit: C types.
        scale: what a logit is to be multiplied by; None where it is a logit.
        traced: whether rows of spikes can be looked at.
    """

    title: str
    exactness: str
    pixel: str
    logit: str
    scale: float | None = None
    traced: bool = False


def layout(program: Program) -> str:
    """Of an image, in words."""
    frames = "[frame][channel][row][column]" if program.frames > 1 else "[channel][row][column]"
    if program.lut is None:
        return f"{frames}, normalised as in training"
    return f"{frames}, bytes as in the data set"


def header(program: Program, name: str, sizes: Sizes, classes: Sequence[str], facts: Facts) -> str:
    """The text of ``name.h``."""
    upper = name.upper()
    numbers = {
        "STEPS": program.steps,
        "FRAMES": program.frames,
        "CHANNELS": program.channels,
        "HEIGHT": program.height,
        "WIDTH": program.width,
        "PIXELS": program.frames * program.channels * program.height * program.width,
        "CLASSES": program.classes,
    }
    macros = "".join(define(f"{upper}_{key}", value) for key, value in numbers.items())
    if facts.scale is not None:
        macros += "/* A logit times this is the logit of the network. */\n"
        macros += define(f"{upper}_LOGIT_SCALE", number(facts.scale))
    traced = ""
    if facts.traced:
        traced = f"""
#ifdef {upper}_TRACE
/* To be written by you. Called for every row of spikes, layers counted from 0, before pooling: bit
 * x % 32 of word x / 32 is column x. */
void {name}_trace(unsigned layer, unsigned step, unsigned channel, unsigned row,
                  const uint32_t *bits);
#endif
"""
    return f"""\
/* {facts.title}
 *
 * Constant tables: {sizes.flash_bytes} bytes of flash, {sizes.weight_bytes} of them weights; the \
code comes on top.
 * Static buffers: {sizes.ram_bytes} bytes of RAM. Stack: a few hundred bytes.
 * {facts.exactness}
 * The functions share the buffers: one call at a time. */
#ifndef {upper}_H
#define {upper}_H
#include <stdint.h>

{macros}
#ifdef __cplusplus
extern "C" {{
#endif

/* A number of an image. */
typedef {facts.pixel} {name}_pixel;

/* Logits of one image, {layout(program)}. */
void {name}_run(const {facts.pixel} *image, {facts.logit} *logits);

/* The class of one image, from 0: the first one with the largest logit. */
int {name}_classify(const {facts.pixel} *image);
{traced}
#ifdef __cplusplus
}}
#endif

/* Names of the classes, UTF-8. They take flash in the files that use them, and in no others. */
{name_array(name, classes)}#endif
"""
