"""Class folders of a user's own files: what lies in them, and whether it is a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from spiketicket.errors import UserError

PARTS: Final = ("train", "test")

Tree = Mapping[str, Sequence[Path]]


def has_parts(folder: Path, obtain: str) -> bool:
    """Whether the classes lie below ``train`` and ``test``; ``obtain`` says where files belong.

    Raises:
        UserError: no such folder, or only one of the two.
    """
    if not folder.is_dir():
        raise UserError("is not a folder", where=str(folder), remedy=obtain)
    found = [part for part in PARTS if (folder / part).is_dir()]
    if len(found) == 1:
        missing = next(part for part in PARTS if part not in found)
        what = f"has a folder {found[0]} but no folder {missing}"
        remedy = f"Add {missing}/, or put the class folders there without {found[0]}/"
        raise UserError(what, where=str(folder), remedy=remedy)
    return bool(found)


def class_folders(
    folder: Path, suffixes: Sequence[str], noun: str, obtain: str, notes: list[str]
) -> dict[str, list[Path]]:
    """Files of each class, both sorted by name; what was left out is told in ``notes``.

    ``suffixes`` are the ends of names that count; ``noun`` is what such a file is called.

    Raises:
        UserError: fewer than two classes, a class without files, or folders within a class.
    """
    tree = {
        path.name: _files(path, suffixes, noun, notes)
        for path in sorted(_listed(folder), key=lambda path: path.name)
        if path.is_dir()
    }
    if len(tree) < 2:
        found = f"only the class {next(iter(tree))}" if tree else "no class folder"
        what = f"holds {found}; at least two classes are needed"
        raise UserError(what, where=str(folder), remedy=obtain)
    return tree


def same_classes(folder: Path, train: Tree, test: Tree) -> tuple[str, ...]:
    """The classes, which both parts must have.

    Raises:
        UserError: names those that one part lacks.
    """
    for one, other, where in ((test, train, "train"), (train, test, "test")):
        if missing := sorted(set(one) - set(other)):
            part = "test" if where == "train" else "train"
            what = f"has no folder for {', '.join(missing)}, which {part} has"
            raise UserError(what, where=str(folder / where))
    return tuple(train)


def _files(folder: Path, suffixes: Sequence[str], noun: str, notes: list[str]) -> list[Path]:
    entries = sorted(_listed(folder), key=lambda path: path.name)
    if nested := next((path for path in entries if path.is_dir()), None):
        what = f"is a folder inside a class folder, which may hold {noun}s only"
        raise UserError(what, where=str(nested))
    found = [path for path in entries if path.suffix.lower() in suffixes]
    if not found:
        what = f"holds no {noun} ({', '.join(suffix[1:] for suffix in suffixes)})"
        raise UserError(what, where=str(folder))
    if others := [path for path in entries if path.suffix.lower() not in suffixes]:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        notes.append(f"left out, as it is not a {noun}: {others[0]}{more}")
    return found


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder, without hidden files such as a desktop's thumbnails."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(folder)) from error
