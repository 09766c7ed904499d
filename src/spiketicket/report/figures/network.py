"""The network as a column of blocks: shapes, and what is sparse, binary or dropped."""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.experiment.schemas import Layer, Measure, Tokens
from spiketicket.report.figures.canvas import (
    WIDTH,
    Figure,
    brief,
    drawing,
    line,
    px,
    rect,
    text,
)
from spiketicket.report.figures.layers import Step, density, groups, steps
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import counted, share
from spiketicket.report.runs import Run

_ROW, _LEFT, _RIGHT = 30.0, 18.0, WIDTH - 1
_MOST = 64
_MASKED = ("conv_pep", "conv", "linear")
"""Groups that a ticket may make binary, for files that do not say it of each layer."""
GROUPS = {
    "input_encoder": "input encoder: from data, frozen, not searched",
    "conv": "convolutions",
    "linear": "linear layers",
    "classifier": "classifier",
    "conv_pep": "ConvPEP: image to patches",
    "encoder_linear": "encoder, linear layers",
    "attention": "encoder, attention",
    "head": "head",
    "selector": "selector: ranks the patches",
}
"""The groups of operations in words."""


def network_picture(run: Run, measure: Measure, stage: str, title: str) -> Figure | None:
    """Blocks from top to bottom; a box is filled as far as its weights are kept."""
    facts = next((a.facts for a in run.rows if a.name == stage), None)
    binary, tokens = bool(facts and facts.binary), facts.tokens if facts else None
    every = steps(measure)
    if not every:
        return None
    parts: list[Markup] = []
    y = _flow(parts, 0.0, f"{counted(measure.timesteps, 'time step')} of {measure.images_of.name}")
    dropped = tokens is not None and tokens.kept < tokens.of
    encoder = False
    for name, members in groups(every[:_MOST]):
        inside = name == "encoder"
        if dropped and inside and not encoder and tokens:
            y = _drop(parts, y, tokens)
        encoder = encoder or inside
        y += 20
        parts.append(text(0, y - 5, "encoder" if inside else GROUPS.get(name, name), "strong"))
        for step in members:
            y = _box(parts, y, step, _is_binary(step.layer, binary))
    classes = _flow(parts, y + 2, "one value per class")
    caption = "A box is filled as far as its weights are kept; what is"
    caption += " pruned is left empty."
    if len(every) > _MOST:
        caption += f" The first {_MOST} of {len(every)} layers."
    return Figure(
        name=f"network-{stage}",
        title=f"The network: {title}",
        caption=caption,
        svg=drawing(classes + 2, joined(parts), label=f"The network of {title}, block by block"),
        columns=(
            "name",
            "group",
            "kind",
            "shape",
            "weights",
            "kept",
            "input",
            "calls",
            "neuron",
            "neurons",
        ),
        rows=tuple(_csv_row(step) for step in every),
    )


def _is_binary(layer: Layer | None, any_is: bool) -> bool:
    if layer is None:
        return False
    return any_is and layer.group in _MASKED if layer.binary is None else layer.binary


def _flow(parts: list[Markup], y: float, content: str) -> float:
    parts.append(rect(_LEFT, y + 1, _RIGHT - _LEFT, 20, class_="pill", rx=10))
    parts.append(text((_LEFT + _RIGHT) / 2, y + 15, content, "dim", "middle"))
    return y + 26


def _drop(parts: list[Markup], y: float, tokens: Tokens) -> float:
    y += 6
    left, right, middle = _LEFT, _RIGHT, (_LEFT + _RIGHT) / 2
    half = (right - left) / 2 * tokens.kept / tokens.of
    corners = ((left, y), (right, y), (middle + half, y + 22), (middle - half, y + 22))
    points = " ".join(f"{px(a)},{px(b)}" for a, b in corners)
    parts.append(element("polygon", points=points, class_="funnel"))
    words = f"{tokens.kept} of {tokens.of} patches go on"
    parts.append(text(middle, y + 15, words, "t-ticket", "middle"))
    return y + 26


def _box(parts: list[Markup], y: float, step: Step, binary: bool) -> float:
    height = _ROW - 4
    if step.layer is None:
        rate = step.neurons.rate if step.neurons else []
        parts.append(line(_LEFT - 10, y + height / 2, _LEFT - 2, y + height / 2, "axis"))
        parts.append(text(_LEFT + 6, y + 17, brief(step.name, 24), "small dim"))
        parts.append(text(_RIGHT - 6, y + 17, _firing(step, rate), "small dim", "end"))
        return y + _ROW
    kept, rate = density(step.layer), step.neurons.rate if step.neurons else []
    words = [element("title", f"{step.full}: {_facts(step.layer, binary)}")]
    words.append(rect(_LEFT, 0, _RIGHT - _LEFT, height, class_="box", rx=3))
    if kept:
        width = (_RIGHT - _LEFT) * kept
        words.append(rect(_LEFT, 0, width, height, class_="kept" if kept < 1 else "whole", rx=3))
    words.append(text(_LEFT + 6, 11.5, brief(step.name, 24)))
    words.append(text(_LEFT + 6, 22, _kind(step.layer), "tiny dim"))
    right = ((11.5, _sparse(kept, binary), ""), (22, _firing(step, rate), "tiny dim"))
    words += [text(_RIGHT - 6, at, what, class_, "end") for at, what, class_ in right if what]
    parts.append(element("g", *words, transform=f"translate(0 {px(y)})", class_="small"))
    return y + _ROW


def _kind(layer: Layer) -> str:
    shape = layer.shape or []
    if layer.kind == "conv" and len(shape) == 4:
        return f"conv {shape[2]}×{shape[3]}, {shape[1]} → {shape[0]} channels"
    if len(shape) == 2:
        return f"linear, {shape[1]} → {shape[0]}"
    return "product of spikes, no weights" if layer.kind == "attention" else layer.kind


def _sparse(kept: float | None, binary: bool) -> str:
    if kept is None:
        return ""
    words = "dense" if kept == 1 else f"{share(kept)} kept"
    return f"binary, {words}" if binary else words


def _firing(step: Step, rate: Sequence[float]) -> str:
    if step.neurons is None:
        return ""
    mean = f", {share(sum(rate) / len(rate))} fire" if rate else ""
    return f"{step.neurons.size:,.0f} {step.neurons.kind}{mean}"


def _facts(layer: Layer, binary: bool) -> str:
    words = [f"{layer.kept:,.0f} of {layer.weights:,.0f} weights"]
    words += ["binary"] * binary
    words.append(f"runs {layer.calls:g} times per image on {layer.input}")
    return ", ".join(words)


def _csv_row(step: Step) -> tuple[str | float | None, ...]:
    layer, neurons = step.layer, step.neurons
    kind = (neurons.kind, neurons.size) if neurons else (None, None)
    if layer is None:
        return (step.full, *(None,) * 7, *kind)
    shape = "x".join(map(str, layer.shape)) if layer.shape else None
    return (
        step.full,
        layer.group,
        layer.kind,
        shape,
        layer.weights,
        layer.kept,
        layer.input,
        layer.calls,
        *kind,
    )
