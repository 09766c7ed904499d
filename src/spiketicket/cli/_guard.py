"""What every command does with errors: a clear line and an exit code, never a traceback.

A traceback is left to mistakes of the program itself.
"""

from __future__ import annotations

import errno
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from spiketicket.errors import NO_TORCH, UserError

BAD_INPUT = 2
INTERRUPTED = 130

_NO_WRITE = (errno.EROFS, errno.EACCES, errno.EPERM)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class GuardedGroup(TyperGroup):
    """The root of the commands, which turns expected errors into lines and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("stopped; run the same command again to go on", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except MemoryError as error:
            remedy = "Use smaller frames, fewer samples or fewer time steps"
            print(f"error: does not fit into memory: {error}. {remedy}", file=sys.stderr)
            raise typer.Exit(BAD_INPUT) from None
        except (UserError, OSError, ImportError) as error:
            text = explained(error)
            if text is None:
                raise
            for line in text.splitlines():
                print(f"error: {line}", file=sys.stderr)
            raise typer.Exit(BAD_INPUT) from None


def explained(error: UserError | OSError | ImportError) -> str | None:
    """What to tell a person about an error, or None where it is not theirs to mend."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ImportError):
        return NO_TORCH if error.name == "torch" else None
    if error.errno is None or error.errno == errno.EPIPE:
        return None
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in _DISK_FULL:
        return f"{where}the disk is full. Make room, then run the same command again to go on"
    if error.errno in _NO_WRITE:
        return f"{where}no permission, or the disk is read-only. Choose another folder"
    return f"{where}{error.strerror}"
