"""What tests of several parts have in common."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The nets here are so small that threads cost more than they bring. PyTorch reads this when it is
# imported, and so do the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


REQUIRE = "SPIKETICKET_REQUIRE"
"""Variable with the tools, with commas between, without which a test fails and is not skipped."""


@dataclass(frozen=True)
class Tool:
    """What a test marked ``needs(name)`` cannot do without.

    Of each tuple in ``programs`` one must be on the path.
    """

    programs: tuple[tuple[str, ...], ...]
    module: str
    packages: str

    def missing(self) -> str:
        """What is not here and how to get it, or an empty text."""
        absent = [names[0] for names in self.programs if not any(map(shutil.which, names))]
        if absent:
            return f"needs {' and '.join(absent)}: apt-get install {self.packages}"
        found = importlib.util.find_spec(self.module)
        return "" if found else f"needs {self.module}: pip install {self.module}"


TOOLS = {
    "browser": Tool(
        (("chromium", "chromium-browser"), ("chromedriver",)),
        "selenium",
        "chromium chromium-driver",
    ),
    "cmake": Tool((("cmake",), ("cc",), ("c++",)), "numpy", "cmake g++ make"),
    "aarch64": Tool(
        (("aarch64-linux-gnu-gcc",), ("qemu-aarch64", "qemu-aarch64-static"), ("cmake",)),
        "numpy",
        "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user cmake",
    ),
    "wasm": Tool((("clang",), ("wasm-ld",)), "numpy", "clang lld"),
    "zsh": Tool((("zsh",),), "numpy", "zsh"),
    "fish": Tool((("fish",),), "numpy", "fish"),
    "arm": Tool((("arm-none-eabi-gcc",),), "unicorn", "gcc-arm-none-eabi libnewlib-arm-none-eabi"),
    "riscv": Tool(
        (("riscv64-unknown-elf-gcc",),),
        "unicorn",
        "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    ),
}


def required() -> set[str]:
    """The names in the variable; raises where one is of no tool."""
    names = {name.strip() for name in os.environ.get(REQUIRE, "").split(",")} - {""}
    if unknown := sorted(names - TOOLS.keys()):
        known = ", ".join(TOOLS)
        raise pytest.UsageError(f"{REQUIRE}: no such tool: {', '.join(unknown)}. Known: {known}")
    return names


def pytest_configure() -> None:
    """A name that is of no tool ends the run before it starts."""
    required()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose tool is not here, or fails it where the tool is required."""
    for mark in item.iter_markers("needs"):
        if missing := TOOLS[mark.args[0]].missing():
            if mark.args[0] in required():
                pytest.fail(f"{missing}; {REQUIRE} has {mark.args[0]}", pytrace=False)
            pytest.skip(missing)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What pytest-xdist gives to one worker: a file, so that its fixtures are made once, or what a
    mark has put together, which is the longest and so comes first.
    """
    marked = [item for item in items if item.get_closest_marker("xdist_group")]
    rest = [item for item in items if not item.get_closest_marker("xdist_group")]
    for item in rest:
        item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
    if hasattr(config, "workerinput"):
        items[:] = [*marked, *rest]


class Inline:
    """An executor in the test's own process: does each order when it is waited for.

    ``before`` may lose an order by giving a reason, or stop it all by raising.
    """

    device = "cpu"

    def __init__(self, before: Callable[[Any], str | None] = lambda order: None) -> None:
        self.before = before
        self.orders: list[Any] = []
        self._left: list[Any] = []

    def open(self, runs_dir: str, sweep: str) -> None:
        from spiketicket.sweep.worker import Settings

        self.settings = Settings(runs_dir=runs_dir, sweep=sweep)

    def slots(self) -> int:
        return 1

    def submit(self, order: Any) -> None:
        self._left.append(order)
        self.orders.append(order)

    def wait(self, timeout_s: float) -> list[Any]:
        from spiketicket.sweep.executor import Ended
        from spiketicket.sweep.worker import execute

        if not self._left:
            return []
        order = self._left.pop()
        if lost := self.before(order):
            return [Ended(order, None, lost)]
        return [Ended(order, execute(order, self.settings))]

    def close(self) -> None:
        pass


@pytest.fixture
def inline() -> type[Inline]:
    return Inline


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread while the test runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def readme_writer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script that writes the pages' tables, imported as it is when it is run."""
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "tools" / "readme")
    return importlib.import_module("write")
