"""Python processes that import nothing from the current folder, which may be a stranger's.

Python looks for modules in the folder it is started in, before all others, when it is given ``-m``
or ``-c``; :mod:`multiprocessing` gives ``-c``. A file of the right name there would be run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

VARIABLE: Final = "PYTHONSAFEPATH"
"""As the option ``-P``; a process that is started inherits it."""


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Processes that are started inside do not look in the current folder first."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
