"""The long run of the fuzz targets, with new seeds: ``fuzz_run.py [SECONDS] [TARGET...]``.

Each target gets its share of the time. Faults are printed with the smallest input that Hypothesis
found, which it keeps in .hypothesis/ and tries first the next time.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_others
import fuzz_tickets
from fuzz_edits import Draw
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

Target = Callable[[Draw, Path], None]

TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        fuzz_tickets.ticket_files,
        fuzz_tickets.hub_folders,
        fuzz_others.recordings,
        fuzz_others.bags,
        fuzz_others.aedat4_recordings,
        fuzz_others.mcap_recordings,
        fuzz_others.hdf5_recordings,
        fuzz_others.recipes,
        fuzz_others.shown_runs,
        fuzz_others.reported_runs,
        fuzz_others.checkpoints,
    )
}


def fuzzed(target: Target) -> Any:
    """The target as a property of Hypothesis, each input in a folder of its own."""

    @given(st.data())
    def once(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory(prefix="spiketicket-fuzz-") as folder:
            target(data.draw, Path(folder))

    once.__name__ = once.__qualname__ = target.__name__
    return once


def run(name: str, seconds: float, examples: int = 200) -> bool:
    """Rounds of examples until the time is out or a fault is found; whether none was."""
    bounds = settings(
        deadline=None,
        max_examples=examples,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        start = random.SystemRandom().getrandbits(64)
        try:
            seed(start)(bounds(fuzzed(TARGETS[name])))()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            traceback.print_exc()
            print(f"{name}: a fault, see above (seed {start})", flush=True)
            return False
        count += examples
    print(f"{name}: {count} inputs, no fault", flush=True)
    return True


def main() -> int:
    """0 where no target found a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=3600)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    given_ = parser.parse_args()
    share = given_.seconds / len(given_.targets)
    sound = [run(name, share) for name in given_.targets]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    raise SystemExit(main())
