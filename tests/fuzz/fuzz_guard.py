"""What a fuzz target may do: end, or raise a UserError; quickly, in little memory, importing
nothing that a file names.
"""

from __future__ import annotations

import contextlib
import resource
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

MOST_MEMORY = 2 << 30
"""Bytes that the whole process may take for it, those of PyTorch and the C library too."""

KNOWN_FAULTS: dict[str, str] = {}
"""Faults that are known and not mended yet, as the name in the message of a Fault -> a word about
it. What is named here does not fail a run. The list is to be empty.
"""


def _address_space() -> int:
    """Bytes of addresses this process has taken."""
    pages = Path("/proc/self/statm").read_text().split()[0]
    return int(pages) * resource.getpagesize()


class Fault(AssertionError):
    """Something that no input may cause."""


class _TooSlow(BaseException):
    """Not an Exception, so that the code under test does not take it for an error of a file."""


def _stop(*_: object) -> None:
    raise _TooSlow


@contextlib.contextmanager
def limited(step: str, memory: int | None = MEMORY) -> Iterator[list[UserError]]:
    """Run one step of a target; what it raises on purpose is put into the list.

    ``memory`` None bounds it by MOST_MEMORY alone: to measure it takes half the time.

    Raises:
        Fault: another exception, too much time or memory, or an import that a file asked for.
    """
    refused: list[UserError] = []
    sys.modules.pop(CANARY, None)
    before = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    address_space = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MOST_MEMORY, address_space[1]))
    if memory is not None:
        tracemalloc.start()
    try:
        yield refused
    except UserError as error:
        refused.append(error)
        expect(bool(str(error)), f"{step}: an error without a text")
    except (Exception, SystemExit, _TooSlow) as error:
        expect(False, f"{step}: {type(error).__name__} in {_where(error)}", error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        resource.setrlimit(resource.RLIMIT_AS, address_space)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        tracemalloc.stop()
    expect(CANARY not in sys.modules, f"{step}: imported a module that a file names")
    expect(
        memory is None or peak <= memory, f"{step}: took more memory than its input allows", peak
    )


def expect(is_so: bool, fault: str, about: Any = None) -> None:
    """Raise the Fault unless it is so, or the fault is a known one."""
    if not is_so and fault not in KNOWN_FAULTS:
        cause = about if isinstance(about, BaseException) else None
        raise Fault(f"{fault}{'' if cause else f' {about}' * (about is not None)}") from cause


def _where(error: BaseException) -> str:
    """The innermost function of the package that the error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _PACKAGE in Path(frame.filename).parents]
    return f"{Path(ours[-1].filename).stem}.{ours[-1].name}" if ours else "no function of ours"
