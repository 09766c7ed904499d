"""Keep freed memory in the process: activations of one size come and go at every step.

glibc gives large blocks back to the system at once and asks for them again, page fault by page
fault; that costs a large part of an eager training step on a CPU. Elsewhere this does nothing.
"""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Set glibc's malloc to reuse freed blocks; returns whether it was possible."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20))
    done = [mallopt(option, value) == 1 for option, value in settings]
    return all(done)
