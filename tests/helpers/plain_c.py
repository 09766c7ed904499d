"""Compiles what the C export wrote, and runs it."""

import ctypes
import subprocess

import numpy as np

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]


def run_c(folder, program, x):
    """Logits ``[N, classes]`` of ``net.c`` in a folder, of inputs ``[N, frames, C, H, W]``."""
    command = ["gcc", *STRICT, "-shared", "-fPIC", "-o", "net.so", "net.c"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    library = ctypes.CDLL(str(folder / "net.so"))
    out = np.zeros((len(x), program.classes), np.float32)
    for image, logits in zip(np.ascontiguousarray(x), out, strict=True):
        library.net_run(
            image.ctypes.data_as(ctypes.c_void_p), logits.ctypes.data_as(ctypes.c_void_p)
        )
    return out
