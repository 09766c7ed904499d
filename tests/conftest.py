"""What tests of several parts have in common."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The nets here are so small that threads cost more than they bring. PyTorch reads this when it is
# imported, and so do the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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
