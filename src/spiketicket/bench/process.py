"""A peer's process as its parent sees it: start it, ask it, and end it whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from spiketicket.bench.job import Array, Job
from spiketicket.machine import cores

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_CALM_S = 0.05
"""Between turns: threads of the last process that still wait in a loop for work go to sleep."""


class PeerError(Exception):
    """A peer's process failed; the text is the last thing it said."""


class NotReadyError(PeerError):
    """A peer takes longer to get ready than it may."""


class PeerProcess:
    """One peer's process. A context manager: on leaving the process is gone.

    ``started`` holds what it said when it was ready: ``settings``, ``load_s``, ``first_s``
    and the ``cores`` it is pinned to, or ``unavailable`` with the reason.

    Raises:
        NotReadyError: it was not ready within ``limit_s`` seconds.
        PeerError: it ended.
    """

    def __init__(self, job: Job, limit_s: float) -> None:
        folder = Path(job.folder)
        path = folder / "job.json"
        job.save(path)
        self._folder, self._said = folder, folder / "stderr.txt"
        environment = dict(os.environ)
        cores.as_found(environment)
        environment |= {
            **dict.fromkeys(_THREAD_VARIABLES, str(job.threads)),
            # One process alone: no pool of compilers that lives on.
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
        }
        with self._said.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "spiketicket.bench.worker", str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
        try:
            self.started = self._answer(limit_s)
        except BaseException:
            self.close()
            raise

    def logits(self) -> Array:
        """Its logits of all images, float32 [N, classes]."""
        self._tell("check")
        return np.asarray(np.load(self._folder / "logits.npy"), np.float32)

    def turn(self, seconds: float) -> list[float]:
        """Durations of calls, in seconds, taken for about so long."""
        time.sleep(_CALM_S)
        found: list[float] = self._tell(f"turn {seconds}")["seconds"]
        return found

    def close(self) -> None:
        """End it with everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tell(self, order: str) -> dict[str, Any]:
        try:
            assert self._process.stdin is not None  # noqa: S101  it was asked for
            self._process.stdin.write(f"{order}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerError(self._last_words()) from error
        return self._answer(None)

    def _answer(self, limit_s: float | None) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101  it was asked for
        ready, _, _ = select.select([self._process.stdout], [], [], limit_s)
        if not ready:
            raise NotReadyError(f"was not ready after {limit_s:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        lines = self._said.read_text("utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else f"its process ended with code {code}"
