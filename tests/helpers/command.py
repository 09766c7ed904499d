"""The command line, run in this process."""

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from spiketicket.cli import app


@dataclass(frozen=True)
class Result:
    """What a command line printed, and how it ended; ``output`` is both streams as they came."""

    exit_code: int
    stdout: str
    stderr: str
    output: str


class _Tee(io.TextIOWrapper):
    """A stream that also writes into another."""

    def __init__(self, both: io.StringIO) -> None:
        super().__init__(io.BytesIO(), "utf-8", newline="", write_through=True)
        self._both = both

    def write(self, text: str) -> int:
        self._both.write(text)
        return super().write(text)

    def text(self) -> str:
        made: Any = self.buffer
        return made.getvalue().decode("utf-8")


@contextlib.contextmanager
def _streams() -> Iterator[tuple[_Tee, _Tee, io.StringIO]]:
    both = io.StringIO()
    out, err = _Tee(both), _Tee(both)
    nothing = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", nothing),
    ):
        yield out, err, both


def spiketicket(*arguments: object) -> Result:
    """Run it with some arguments; an unexpected exception is raised here."""
    with _streams() as (out, err, both):
        try:
            code = app.run([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    return Result(code, out.text(), err.text(), both.getvalue())
