"""Help comes without PyTorch; how soon, benchmarks/start.py says."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from command import Result

pytestmark = pytest.mark.slow


COMMANDS = [
    "find",
    "train",
    "sweep",
    "reproduce",
    "run",
    "eval",
    "measure",
    "report",
    "show",
    "verify",
    "pack",
    "export",
    "data",
    "zoo",
    "version",
]


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


def test_paragraphs_of_the_help_fill_the_lines(spike: Callable[..., Result]) -> None:
    shown = spike("reproduce", "--help").output.splitlines()
    first = next(i for i, line in enumerate(shown) if "Stopped at any time" in line)
    last = next(i for i, line in enumerate(shown) if "before anything starts" in line)
    assert last > first
    # no line ends where the first word of the next one would still have had room
    for line, after in zip(shown[first:last], shown[first + 1 : last + 1], strict=True):
        assert len(line.rstrip()) + 1 + len(after.split()[0]) > 79


def test_version(spike: Callable[..., Result]) -> None:
    from spiketicket import __version__

    assert spike("--version").output == f"spiketicket {__version__}\n"
    assert spike("version").output == f"spiketicket {__version__}\n"
    verbose = spike("version", "--verbose").output
    for word in ("python", "torch", "numpy", "threads", "cuda", "engine", "neurons"):
        assert word in verbose
