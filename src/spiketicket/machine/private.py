"""Folders that nobody else can write to, for what is loaded as code.

A library that is loaded runs. So it is taken only from where this user alone (or root) can have put
it: the file and every folder above it belong to one of the two, and neither their group nor others
may write to them. A folder for everybody such as /tmp may be above it where only the owner of an
entry may replace it (the sticky bit). Windows' own folders of a user are private; nothing is
checked there.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from pathlib import Path


def user_cache() -> Path | None:
    """This package's folder in the user's cache folder; None where this user has no home."""
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("spiketicket")
    except (RuntimeError, KeyError):  # as Path.home() says it
        return None
    # Without a home "~" stays as it is, and would be a folder of the working directory.
    return folder if folder.is_absolute() and "~" not in folder.parts else None


def make_private(folder: Path) -> str:
    """Make a folder and those above it, each for this user alone whatever the umask.

    Returns why nothing may be loaded from it, or "".

    Raises:
        OSError: it cannot be made.
    """
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir(mode=0o700, exist_ok=True)
    return why_not_private(folder)


def own_compiler_cache() -> None:
    """Have torch.compile keep its code where nobody else can write, unless the user has said where.

    Its own choice is a folder of a predictable name in /tmp, and it needs the user's name.
    """
    variable = "TORCHINDUCTOR_CACHE_DIR"
    if variable in os.environ:
        return
    own = user_cache()
    try:
        if own is not None and not make_private(own / "inductor"):
            os.environ[variable] = str(own / "inductor")
            return
    except OSError:
        pass
    scratch = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    os.environ[variable] = scratch


def why_not_private(path: Path) -> str:
    """Why nothing may be loaded from a file or folder, or "".

    Raises:
        OSError: it is not there.
    """
    if os.name != "posix":
        return ""
    if path.is_symlink():
        return f"{path} is a symbolic link"
    whole = path.resolve(strict=True)
    for part in (whole, *whole.parents):
        status = part.stat()
        if status.st_uid not in (os.getuid(), 0):
            return f"{part} belongs to another user"
        shared = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX and part != whole
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not shared:
            return f"{part} can be written by others"
    return ""
