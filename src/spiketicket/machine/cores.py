"""The cores this process may use, and how threads that wait for each other are to wait.

Imported first of all, before PyTorch and without it: the libraries that compute in threads read
their variables once, when they are loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path, PurePosixPath

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""Wait some ten microseconds in a loop, then asleep. GNU's default are three milliseconds and
LLVM's and Intel's 200: on a machine that does anything else, threads wait in that loop for one
that has no core, which they take from it."""
AS_BY_DEFAULT = {"GOMP_SPINCOUNT": "300000"}
"""What GNU's OpenMP does where no variable is set."""


def prepare(environ: MutableMapping[str, str]) -> None:
    """Set how OpenMP waits, and that it starts no more threads than there are cores to use.

    What the user has set is left: one of the variables of :data:`WAITING` leaves them all.
    Processes that are started with this environment do the same.
    """
    if not environ.keys() & WAITING.keys():
        environ.update(WAITING)
    # OpenMP heeds an affinity, but no quota.
    if "OMP_NUM_THREADS" not in environ and cores() < len(allowed()):
        environ["OMP_NUM_THREADS"] = str(cores())


def as_found(environ: MutableMapping[str, str]) -> None:
    """Undo :func:`prepare`'s way to wait, for programs that are compared as they come."""
    if all(environ.get(name) == value for name, value in WAITING.items()):
        for name in WAITING:
            del environ[name]
        environ.update(AS_BY_DEFAULT)


def cores() -> int:
    """How many cores this process may keep busy, at least 1.

    Those it may run on, or its control group's share of processor time where that is less, rounded
    up: a quota of one and a half cores counts as two.
    """
    quota = _quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    most = len(allowed())
    return most if quota is None else max(1, min(most, -int(-quota // 1)))


def allowed() -> tuple[int, ...]:
    """The numbers of the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _quota(groups: Path, mount: Path) -> float | None:
    """Cores' worth of time of a process, by the tightest group it is in; None without a limit."""
    found = [_share(folder) for folder in _folders(_text(groups), mount)]
    return min((share for share in found if share is not None), default=None)


def _folders(groups: str, mount: Path) -> Iterator[Path]:
    """The folders of a process's groups and of all above them, of both versions.

    ``groups`` has lines like ``0::/a/b`` (version 2) and ``1:cpu,cpuacct:/a/b`` (version 1). In a
    container the folder may be the mount itself, whatever the line says.
    """
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        tops = [mount / controllers, mount / "cpu"] if controllers else [mount, mount / "unified"]
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for top in tops:
            for count in range(len(parts) + 1):
                yield top.joinpath(*parts[:count])


def _share(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _text(folder / "cpu.cfs_quota_us").strip()
        period = _text(folder / "cpu.cfs_period_us").strip()
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None  # "max" or -1, or no such file
    return int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
