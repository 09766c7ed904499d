"""A progress bar for downloads on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from spiketicket.data.types import Progress
from spiketicket.errors import plain
from spiketicket.machine.output import console


@contextmanager
def console_progress() -> Iterator[Progress]:
    """A callback that draws a bar for each file on standard error; draws nothing elsewhere.

    Use: ``with console_progress() as progress: get_dataset("cifar10", root, progress)``.
    """
    # Imported here because only a download on a terminal needs it.
    from rich import progress as bars

    terminal = console(stderr=True)
    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=terminal, disable=not terminal.is_terminal) as display:
        tasks: dict[str, bars.TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = display.add_task(plain(name), total=None)
            display.update(tasks[name], completed=done, total=total or None)

        yield show
