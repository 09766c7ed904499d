"""Help comes at once, and without PyTorch."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

COMMANDS = [
    "find", "train", "sweep", "reproduce", "run", "eval", "measure", "report", "show", "pack",
    "export", "data", "version",
]  # fmt: skip
SCRIPT = Path(sys.executable).with_name("spiketicket")


def seconds(command: list[str]) -> float:
    """CPU seconds of one call: unlike the clock's, not those of whatever else runs here."""
    before = os.times()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    after = os.times()
    used = after.children_user + after.children_system
    return used - before.children_user - before.children_system


@pytest.mark.parametrize("arguments", [["--help"], ["find", "--help"]], ids=" ".join)
def test_help_takes_less_than_three_tenths_of_a_second(arguments: list[str]) -> None:
    # On a busy machine even CPU seconds grow, so what typer and pydantic cost alone counts too.
    alone = [sys.executable, "-c", "import typer.rich_utils, pydantic"]
    limit, best, until = 0.3, math.inf, time.monotonic() + 8
    while best >= limit and time.monotonic() < until:
        best = min(best, seconds([str(SCRIPT), *arguments]))
        limit = max(limit, 1.5 * seconds(alone))
    assert best < limit


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = f"""
import sys
from spiketicket.cli import main
sys.argv = ["spiketicket", *{command.split()!r}, "--help"]
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
heavy = {{"torch", "numpy", "scipy", "pooch", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_no_arguments_show_the_help(spike: Callable[..., Result]) -> None:
    result = spike()
    assert result.exit_code == 2
    for command in COMMANDS:
        assert command in result.output


def test_version(spike: Callable[..., Result]) -> None:
    from spiketicket import __version__

    assert spike("--version").output == f"spiketicket {__version__}\n"
    assert spike("version").output == f"spiketicket {__version__}\n"
    verbose = spike("version", "--verbose").output
    for word in ("python", "torch", "numpy", "threads", "cuda"):
        assert word in verbose
