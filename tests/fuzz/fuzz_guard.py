"""What a fuzz target may do: end, or raise a UserError; quickly, in little memory, importing
nothing that a file names.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz_edits import CANARY

import spiketicket
from spiketicket.errors import UserError

_PACKAGE = Path(spiketicket.__file__).parent
CPU_SECONDS = 10.0
"""Of one step on one input; a real one takes some milliseconds."""
MEMORY = 64 << 20
"""Bytes that Python and numpy may take for one input, beside what its own size allows."""

KNOWN_FAULTS: dict[str, str] = {}
"""Faults that are known and not mended yet, as the name in the message of a Fault -> a word about
it. What is named here does not fail a run. The list is to be empty.
"""


class Fault(AssertionError):
    """Something that no input may cause."""


class _TooSlow(BaseException):
    """Not an Exception, so that the code under test does not take it for an error of a file."""


def _stop(*_: object) -> None:
    raise _TooSlow


@contextlib.contextmanager
def limited(step: str, memory: int = MEMORY) -> Iterator[list[UserError]]:
    """Run one step of a target; what it raises on purpose is put into the list.

    Raises:
        Fault: another exception, too much time or memory, or an import that a file asked for.
    """
    refused: list[UserError] = []
    sys.modules.pop(CANARY, None)
    before = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    tracemalloc.start()
    try:
        yield refused
        peak = tracemalloc.get_traced_memory()[1]
    except UserError as error:
        peak = tracemalloc.get_traced_memory()[1]
        refused.append(error)
        _expect(bool(str(error)), f"{step}: an error without a text")
    except (Exception, SystemExit, _TooSlow) as error:
        peak = 0
        fault = f"{step}: {type(error).__name__} in {_where(error)}"
        _expect(False, fault, error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        tracemalloc.stop()
    _expect(CANARY not in sys.modules, f"{step}: imported a module that a file names")
    _expect(peak <= memory, f"{step}: took more memory than its input allows", peak)


def _expect(is_so: bool, fault: str, about: Any = None) -> None:
    if not is_so and fault not in KNOWN_FAULTS:
        cause = about if isinstance(about, BaseException) else None
        raise Fault(f"{fault}{'' if cause else f' {about}' * (about is not None)}") from cause


def _where(error: BaseException) -> str:
    """The innermost function of the package that the error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _PACKAGE in Path(frame.filename).parents]
    return f"{Path(ours[-1].filename).stem}.{ours[-1].name}" if ours else "no function of ours"
