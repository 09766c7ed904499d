"""A network's C files as what the tools of boards take: an Arduino library, a Zephyr module."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from spiketicket._version import __version__

EXAMPLES = {
    "c": "main.c",
    "arduino": "examples/Classify/Classify.ino",
    "zephyr": "samples/classify/src/main.c",
}
"""The file of each kind that is the user's once it was changed."""


def arduino(texts: Mapping[str, str], name: str, kind: str) -> dict[str, str]:
    """An Arduino library of the files ``texts``, by their paths; ``kind`` is of ``example_of``.

    As https://docs.arduino.cc/arduino-cli/library-specification has it.
    """
    made = {f"src/{file}": text for file, text in texts.items() if _is_code(file)}
    made["library.properties"] = _filled("library.properties", name)
    made["keywords.txt"] = _filled("keywords.txt", name)
    made[EXAMPLES["arduino"]] = _filled(f"arduino_{kind}.ino", name)
    return made


def zephyr(texts: Mapping[str, str], name: str, kind: str) -> dict[str, str]:
    """A Zephyr module of the files ``texts``, by their paths, with a sample.

    As https://docs.zephyrproject.org/latest/develop/modules.html has it.
    """
    made = {
        f"{'include' if file.endswith(('.h', '.hpp')) else 'src'}/{file}": text
        for file, text in texts.items()
        if _is_code(file)
    }
    for path, part in {
        "zephyr/module.yml": "module.yml",
        "CMakeLists.txt": "zephyr_module.cmake",
        "Kconfig": "Kconfig",
        "samples/classify/CMakeLists.txt": "zephyr_sample.cmake",
        "samples/classify/prj.conf": "prj.conf",
        "samples/classify/sample.yaml": "sample.yaml",
        EXAMPLES["zephyr"]: f"zephyr_{kind}.c",
    }.items():
        made[path] = _filled(part, name)
    return made


def example_of(*, stream: bool, events: bool) -> str:
    """Which example goes with the files."""
    return "whole" if not stream else "events" if events else "frames"


def _is_code(file: str) -> bool:
    return file.endswith((".c", ".h", ".hpp")) and file != "main.c"


def _filled(part: str, name: str) -> str:
    text = files("spiketicket.export.c").joinpath("runtime", "packages", part).read_text("ascii")
    version = ".".join([*__version__.split(".dev")[0].split("."), "0", "0"][:3])
    fill = {"NAME": name, "UPPER": name.upper(), "VERSION": version}
    for key, value in fill.items():
        text = text.replace(f"@{key}@", value)
    return text
