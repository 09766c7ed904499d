"""A network as C that runs one time step at a time, its membranes carried on between calls.

What ``Engine.state`` and ``Engine.step`` do, to the bit: frames are shown, or made of the events
that are pushed, and every step has an answer. The ops are those of ``plain.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from spiketicket._version import __version__
from spiketicket.engine import stepwise
from spiketicket.engine.program import Program
from spiketicket.export.c.chain import ExportError
from spiketicket.export.c.header import Facts, Sizes, header
from spiketicket.export.c.plain import BEFORE, BEHIND, STEPS, PlainWriter
from spiketicket.export.c.source import define, number

_NEVER = 3.402823466e38
"""A margin that no sum reaches."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How events become the frames of a ticket; see ``spiketicket.events.frames``.

    ``step_us`` and ``step_events`` are how long a frame is, or of how many events, where the ticket
    says; 0 else.
    """

    width: int
    height: int
    merge: bool = False
    binary: bool = False
    step_us: int = 0
    step_events: int = 0


def read_camera(metadata: Mapping[str, Any], program: Program) -> Camera | None:
    """The camera of a ticket of recordings, or None of one of pictures, or of another's frames.

    Raises:
        ExportError: its frames need a whole recording.
    """
    data = metadata.get("data")
    config = data.get("config") if isinstance(data, Mapping) else None
    if program.frames == 1 or not isinstance(config, Mapping) or "steps" not in config:
        return None
    for key in ("hot_pixel", "denoise_us"):
        if config.get(key) is not None:
            raise ExportError(
                "frames of events that are filtered by it are not made in C",
                where=f"data.config.{key}",
                value=config[key],
                remedy="Filter the events in the camera, and search with a recipe without it",
            )
    name = data.get("name") if isinstance(data, Mapping) else ""
    sensor = config.get("sensor") or _published(str(name))
    sides = list(sensor) if isinstance(sensor, list | tuple) else []
    if len(sides) != 2 or not all(type(n) is int and 0 < n <= 65535 for n in sides):
        sides = [program.width, program.height]
    window = config.get("window_us")
    return Camera(
        width=sides[0],
        height=sides[1],
        merge=config.get("merge_polarity") is True,
        binary=config.get("values") == "binary",
        step_us=window // program.steps if type(window) is int else 0,
    )


def _published(name: str) -> object:
    from spiketicket.events.published import SENSORS

    return SENSORS.get(name)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The text of the files."""

    header: str
    source: str
    cxx: str
    """A C++17 class around them."""
    cmake: str
    main: str
    sizes: Sizes


def write_stream(
    program: Program,
    name: str,
    classes: Sequence[str],
    *,
    camera: Camera | None = None,
    margin: float | None = None,
) -> Stream:
    """The files, named ``name``; ``classes`` are the names of its outputs.

    ``margin`` is that of early answers: see ``Engine.run_early``.

    Raises:
        ExportError: an op has no C; names the layer.
        UserError: the answer needs all steps at once; names the layer.
    """
    stepwise.roles(program)
    return _StreamWriter(program, name, stream=True).files(classes, camera, margin)


class _StreamWriter(PlainWriter):
    def files(self, classes: Sequence[str], camera: Camera | None, margin: float | None) -> Stream:
        program, name = self.program, self.name
        raw = "float" if program.lut is None else "uint8_t"
        fill = {
            "NAME": name,
            "UPPER": name.upper(),
            "RAW": raw,
            "PLANE": str(program.values[0].plane),
            "STEPS": str(program.steps),
            "CLASSES": str(program.classes),
        }
        source, sizes = self._text(camera, fill)
        title = (
            f"A spiking network that is run one time step at a time.\n * Written by spiketicket"
            f" {__version__}."
        )
        facts = Facts(
            title=title,
            exactness="Every operation is that of the network, in float32.",
            pixel=raw,
            logit="float",
        )
        text = header(program, name, sizes, classes, facts)
        return Stream(
            header=_with_stream(text, camera, margin, fill),
            source=source,
            cxx=_filled("stream.hpp", fill, camera),
            cmake=_filled("CMakeLists.txt", fill, camera),
            main=_filled("main_events.c" if camera else "main_frames.c", fill, camera),
            sizes=sizes,
        )

    def _text(self, camera: Camera | None, fill: Mapping[str, str]) -> tuple[str, Sizes]:
        program, plane = self.program, self.program.values[0].plane
        before, steps, behind = (
            self._phase(phase, "    " if phase != BEFORE else "        ")
            for phase in (BEFORE, STEPS, BEHIND)
        )
        read, reads = self._reading(plane)
        read = read.replace(f"image + (size_t)step * {plane}u", "frame").replace("image", "frame")
        begin = f"    {read}\n" if program.lut is None else ""  # it is a pointer
        if program.lut is None:
            read = ""
        if program.frames > 1:
            steps = f"    {read}\n{steps}"
        else:
            before = f"        {read}\n{before}"
        starts, at = "", 0
        for count, start in self.states:
            each = f"for (uint32_t i = 0; i < {count}u; i++)"
            starts += f"    {each} states[{at}u + i] = {number(start)};\n"
            at += count
        means = "".join(
            f"    for (uint32_t i = 0; i < {count}u; i++) states[{place}u + i] = 0.0f;\n"
            for place, count in self.totals.values()
        )
        pixel = 4 if program.lut is None else 1
        sizes = Sizes(
            weight_bytes=self.weights,
            table_bytes=self.table_bytes + (0 if program.lut is None else 4 * program.lut.size),
            ram_bytes=self._ram(at) + pixel * plane,
            float_layers=("all layers",),
        )
        parts = {
            "ARRAYS": self.arrays(at),
            "RUNTIME": _runtime("plain.c"),
            "TABLES": "".join(self.tables) + reads,
            "RESTS": starts,
            "MEANS": means,
            "BEFORE": before,
            "START": begin,
            "EACH": steps,
            "BEHIND": behind,
            "LOGITS": self._pointer(program.output),
            "PUSH": _filled("push.c", fill, camera) if camera else "",
            "SEVERAL": str(int(program.frames > 1)),
        }
        text = _filled("stream.c", fill, camera)
        for key, part in parts.items():
            text = text.replace(f"@{key}@", part)
        return text, sizes


def _with_stream(
    text: str, camera: Camera | None, margin: float | None, fill: Mapping[str, str]
) -> str:
    """The header of a plain network, with what is new put before its end."""
    upper = fill["UPPER"]
    macros = "/* By how much the best class must lead the next one, in sums of logits. */\n"
    macros += define(f"{upper}_MARGIN", number(_NEVER if margin is None else margin))
    if camera is not None:
        macros += f"""\
/* Of the camera, and of one frame: microseconds, where the ticket says. */
{define(f"{upper}_SENSOR_WIDTH", camera.width)}{define(f"{upper}_SENSOR_HEIGHT", camera.height)}\
{define(f"{upper}_STEP_US", camera.step_us)}"""
    text = text.replace("#include <stdint.h>\n", "#include <stddef.h>\n#include <stdint.h>\n", 1)
    text = text.replace("\n#ifdef __cplusplus\nextern", f"{macros}\n#ifdef __cplusplus\nextern", 1)
    new = _filled("stream.h", fill, camera)
    if camera is not None:
        new += _filled("push.h", fill, camera)
    end = "\n#ifdef __cplusplus\n}"
    return text.replace(end, f"\n{new}{end}", 1)


def _filled(part: str, fill: Mapping[str, str], camera: Camera | None) -> str:
    text = _runtime(f"stream/{part}")
    flags = {}
    if camera is not None:
        flags = {"MERGE": str(int(camera.merge)), "BINARY": str(int(camera.binary))}
    shown = {"EVENTS": str(int(camera is not None))}
    for key, value in {**fill, **flags, **shown}.items():
        text = text.replace(f"@{key}@", value)
    return text


def _runtime(part: str) -> str:
    return files("spiketicket.export.c").joinpath("runtime", *part.split("/")).read_text("ascii")
