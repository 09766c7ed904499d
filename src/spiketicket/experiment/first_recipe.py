"""A first recipe for a user's own pictures or recordings, by rules that its comments state.

The rules are :func:`_sides`, :func:`_network`, :func:`_budget` and :func:`_fractions`. What they
choose runs as it is on a CPU; it is where a user starts from, and nothing is tuned.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from spiketicket.data.looking import Look, Pictures, Recordings
from spiketicket.data.split import drawn
from spiketicket.errors import UserError, plain
from spiketicket.recipe import Recipe, parse_recipe
from spiketicket.recipe.toml import parse_toml, toml_text, toml_value

_SIDES: Final = (16, 64)
"""Of pictures and frames: what a CPU trains in minutes to hours."""
_STEP: Final = 8
"""Sides are multiples of it, as every network of the package takes."""
_LARGE: Final = 5_000
"""Training samples from which on the larger network is taken."""
_OPTIMIZER_STEPS: Final = 1_500
_EPOCHS: Final = (5, 40)
_TIMESTEPS: Final = 4
_LONG_US: Final = 2_000_000
"""Recordings that are longer are cut into windows."""
_WINDOW_US: Final = 1_000_000
_SHORTEST_US: Final = 100_000
_FEWEST: Final = 3
"""Files of a class: one each to train, to choose and to test with."""

Line = tuple[str, object, str]
"""Key, value and comment."""


@dataclass(frozen=True, kw_only=True)
class FirstRecipe:
    """The text of a recipe, what it says, and what was found in the folder, as name and value."""

    text: str
    recipe: Recipe
    facts: tuple[tuple[str, str], ...]


def first_recipe(look: Look, path: Path, settings: Sequence[str] = ()) -> FirstRecipe:
    """A commented recipe, to be written to ``path``, for what was found in a folder.

    ``settings`` are the ``data.key=value`` texts that the folder was looked at with.

    Raises:
        UserError: a class has too few samples to be split, or the sensor is too small.
    """
    training, tested, split = _fractions(look)
    if isinstance(look, Recordings) and (window := _window(look)):
        per_file = sum(us // window for us in look.durations_us) / len(look.durations_us)
        training, tested = round(training * per_file), round(tested * per_file)
    lines, what = _sides(look)
    data = _unique([*_place(look, path), *lines, *split, *_given(settings)])
    values = {key: value for key, value, _ in data}
    side = min(int(str(values[key])) for key in look.config.side_keys)
    sections: list[tuple[str, list[Line]]] = [
        ("data", [*data, *_augmented(side)]),
        ("model", _network(training, side)),
        ("neuron", [("name", "lif", "leaky integrate-and-fire")]),
        ("ticket", _ticket()),
        ("train", _budget(training)),
        ("verdict", [_margin(tested)]),
    ]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-_")[:64] or "mine"
    facts = _facts(look, training, tested)
    text = _written(name, sections, facts, what)
    recipe = parse_recipe(parse_toml(text), str(path))
    return FirstRecipe(text=text, recipe=recipe, facts=facts)


def _sides(look: Look) -> tuple[list[Line], str]:
    """Rule: the shorter side of the middle picture, or the sensor, as a multiple of 8 of 16 to 64.

    Pictures are cut to squares. Frames keep the sensor's ratio, and are never larger than it.
    """
    if isinstance(look, Pictures):
        side = _STEP * math.floor(look.side / _STEP + 0.5)
        size = min(max(side, _SIDES[0]), _SIDES[1])
        why = f"cut to a square and scaled; the middle picture's shorter side is {look.side}"
        kind = "all that were looked at are grey" if look.grey else "1 would make them grey"
        channels = 1 if look.grey else 3
        return [("size", size, why), ("channels", channels, kind)], "pictures"
    assert isinstance(look, Recordings)  # noqa: S101 - there is no third kind
    width, height = look.sensor
    if min(width, height) < _STEP:
        what = f"a sensor of {width}x{height} is too small for the networks of this package"
        raise UserError(what, where=str(look.root), remedy="Set data.sensor where it is larger")
    scale = min(1.0, _SIDES[1] / min(width, height))
    rows, columns = (max(_STEP, _STEP * int(s * scale / _STEP)) for s in (height, width))
    lines: list[Line] = [
        ("steps", _TIMESTEPS, "frames of each sample; model.timesteps is the same"),
        ("height", rows, f"of frames; the sensor has {width}x{height}"),
        ("width", columns, ""),
    ]
    if not look.told:
        lines.append(("sensor", [width, height], "of the largest addresses: correct it if need be"))
    if look.reset:
        lines.append(("split_at_reset", True, "the clock of some files was reset"))
    if window := _window(look):
        why = f"the middle recording is {look.duration_us / 1e6:.3g} s: windows of it are samples"
        lines.append(("window_us", window, why))
    return lines, "recordings"


def _window(look: Recordings) -> int:
    """Rule: where the middle recording is longer than two seconds, windows of one second, or of the
    shortest recording; 0 is whole recordings, as where the shortest has less than a tenth.
    """
    window = min(_WINDOW_US, *look.durations_us)
    return window if look.duration_us > _LONG_US and window >= _SHORTEST_US else 0


def _network(training: int, side: int) -> list[Line]:
    """Rule: VGG-9 at half its width from 5,000 training samples and 32 pixels on, else convnet."""
    binary = ("weights", "binary", "one sign each and one scale per layer; or float")
    steps = ("timesteps", _TIMESTEPS, "")
    if training >= _LARGE and side >= 32:
        why = f"{_LARGE:,} training samples or more of 32 pixels or more"
        return [
            ("name", "vgg9", why),
            ("width", 0.5, "half its channels, for a CPU"),
            steps,
            binary,
        ]
    why = f"a small network, for fewer than {_LARGE:,} samples or small ones"
    return [("name", "convnet", why), steps, binary]


def _ticket() -> list[Line]:
    """Rule: half of the weights, of which there are the most masks to choose from."""
    return [
        ("name", "edge_popup", "searches among frozen random weights"),
        ("density", 0.5, "the fraction KEPT; at one half there are the most masks to choose from"),
    ]


def _budget(training: int) -> list[Line]:
    """Rule: batches of 64 from 1,000 samples on, of 32 from 300 on, else of 16, and at most a
    quarter of the samples; about 1,500 optimizer steps, in 5 to 40 epochs.
    """
    batch = 64 if training >= 1000 else 32 if training >= 300 else 16
    batch = min(batch, max(2, training // 4))
    wanted = math.ceil(_OPTIMIZER_STEPS * batch / training)
    epochs = min(max(wanted, _EPOCHS[0]), _EPOCHS[1])
    why = f"about {_OPTIMIZER_STEPS:,} optimizer steps, in {_EPOCHS[0]} to {_EPOCHS[1]} epochs"
    return [("epochs", epochs, why), ("batch_size", batch, f"for {training:,} training samples")]


def _margin(tested: int) -> Line:
    """Rule: a tie is up to one point from 1,000 test samples on, two from 100 on, else five."""
    margin = 1.0 if tested >= 1000 else 2.0 if tested >= 100 else 5.0
    return ("margin", margin, f"points below the dense net; a test sample is {100 / tested:.2g}")


def _augmented(side: int) -> list[Line]:
    crop = min(4, side // _STEP)
    return [
        ("pad_crop", crop, "random shifts in training, in pixels"),
        ("flip", False, "true where a mirror image is of the same class"),
    ]


def _fractions(look: Look) -> tuple[int, int, list[Line]]:
    """Samples to train and to test with, and the lines of the splits that are drawn.

    Rule: a fifth to test with, and a tenth of the rest to choose with; more where a class is small.
    """
    fewest = min(look.counts("train"))
    if fewest < _FEWEST and not (look.parted and look.validated):
        small = look.classes[look.counts("train").index(fewest)]
        what = f"class {small} has {fewest} to train with, and needs {_FEWEST} or more"
        raise UserError(what, where=str(look.root), remedy="Add some, or take its folder away")
    labels = np.array([label for _, label in look.files["train"]], np.int64)
    lines: list[Line] = []
    tested = len(look.files.get("test", ()))
    if not look.parted:
        fraction = _drawn(labels, (0.2, 0.25, 0.3, 0.4, 0.5), "test", look)
        tested = round(fraction * len(labels))
        labels = np.delete(labels, _chosen(labels, fraction, "test", look))
        lines.append(("test_fraction", fraction, "of each class, to test with"))
    if not look.validated:
        fraction = _drawn(labels, (0.1, 0.15, 0.2, 0.3, 0.4, 0.5), "validation", look)
        lines.append(("validation", fraction, "of the training samples, to choose the epoch with"))
        return max(1, round((1 - fraction) * len(labels))), tested, lines
    return len(labels), tested, lines


def _drawn(labels: Any, fractions: Iterable[float], part: str, look: Look) -> float:
    """The first of the fractions that leaves every class on both sides."""
    problem: UserError | None = None
    for fraction in fractions:
        try:
            _chosen(labels, fraction, part, look)
        except UserError as error:
            problem = problem or error
        else:
            return fraction
    raise problem or UserError("there is no fraction to try", where=part)


def _chosen(labels: Any, fraction: float, part: str, look: Look) -> Any:
    return drawn(labels, fraction, 0, classes=look.classes, part=part, where=str(look.root))


def _place(look: Look, path: Path) -> list[Line]:
    root = look.root.resolve()
    folder = path.absolute().parent.resolve()
    try:
        str(root).encode()
    except UnicodeEncodeError as error:
        what = "has a name that is no text, which a recipe cannot hold"
        raise UserError(what, where=str(root), remedy="Rename the folder") from error
    beside = root.is_relative_to(folder) and root != folder
    place = os.path.relpath(root, folder) if beside else str(root)
    why = "from this file's folder" if beside else ""
    return [("name", look.config.name, ""), ("root", place, why)]


def _given(settings: Sequence[str]) -> list[Line]:
    """What the user said of the files."""
    pairs = (text.partition("=") for text in settings)
    return [(k.strip().removeprefix("data."), toml_value(v.strip()), "") for k, _, v in pairs]


def _unique(lines: Sequence[Line]) -> list[Line]:
    """Of each key the last line, in the place of the first."""
    return [*{key: (key, value, why) for key, value, why in lines}.values()]


def _facts(look: Look, training: int, tested: int) -> tuple[tuple[str, str], ...]:
    counts = look.counts("train")
    facts = [
        ("classes", f"{len(look.classes)}: {', '.join(look.classes[:20])}"),
        ("samples", f"{sum(map(len, look.files.values())):,} files"),
        ("of a class", f"{min(counts):,} to {max(counts):,} to train and choose with"),
        ("training", f"{training:,}, and {tested:,} to test with"),
    ]
    if isinstance(look, Pictures):
        kinds = [f"{w}x{h} ({n:,})" for (w, h), n in look.sizes.most_common(3)]
        more = f" and {len(look.sizes) - 3} more sizes" if len(look.sizes) > 3 else ""
        facts.append(("sizes", f"{', '.join(kinds)}{more}"))
        facts.append(("colours", "grey" if look.grey else "RGB"))
    if isinstance(look, Recordings):
        width, height = look.sensor
        told = "" if look.told else ", by the largest addresses: the files do not tell it"
        facts.append(("sensor", f"{width}x{height}{told}"))
        low, high = (edge(look.durations_us) / 1e6 for edge in (min, max))
        facts.append(("duration", f"{low:.3g} s to {high:.3g} s"))
        few, many = (edge(look.counts_of_events) for edge in (min, max))
        facts.append(("events", f"{few:,} to {many:,} of a recording"))
    return tuple(facts)


def _written(
    name: str,
    sections: Sequence[tuple[str, Sequence[Line]]],
    facts: Sequence[tuple[str, str]],
    what: str,
) -> str:
    lines = [f"# Written by spiketicket init for these {what}:"]
    lines += [f"#   {key}: {plain(value)}" for key, value in facts]
    lines += [
        "# Every line may be changed: `spiketicket recipe explain SECTION.KEY` says what it does.",
        "# `spiketicket find FILE --budget 10m` fits the epochs to this machine.",
        f"name = {toml_text(name)}",
    ]
    for section, content in sections:
        lines += ["", f"[{section}]"]
        for key, value, why in content:
            line = f"{key} = {toml_text(value)}"
            lines.append(f"{line:<28} # {why}" if why else line)
    return "\n".join(lines) + "\n"
