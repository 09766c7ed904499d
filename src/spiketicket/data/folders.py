"""Class folders of a user's own files: what lies in them, and whether it is a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from spiketicket.errors import UserError

PARTS: Final = ("train", "test")
VALIDATION: Final = "val"
_CALLED: Final = {
    "train": ("train", "training", "trainset", "train_set"),
    "test": ("test", "testing", "testset", "test_set"),
    "val": ("val", "valid", "validation", "validate", "dev"),
}
"""What people call the parts, in any case of letters."""

Tree = Mapping[str, Sequence[Path]]


def parts_in(folder: Path, obtain: str, notes: list[str]) -> tuple[str, ...]:
    """The parts that the classes lie below: none, ``train`` and ``test``, or these and ``val``.

    ``obtain`` says where files belong; what lies beside the parts is told in ``notes``.

    Raises:
        UserError: no such folder, only one of ``train`` and ``test``, or a part of another name.
    """
    if not folder.is_dir():
        raise UserError("is not a folder", where=str(folder), remedy=obtain)
    entries = _listed(folder)
    called = {path.name: kind for path in entries if path.is_dir() for kind in _kinds(path)}
    found = tuple(part for part in _CALLED if called.get(part) == part)
    wrong = {name: kind for name, kind in called.items() if name != kind and kind not in found}
    # one such folder may be a class; two are parts
    if wrong and len({*called.values()}) > 1:
        names = " and ".join(f"{name} to {kind}" for name, kind in sorted(wrong.items()))
        what = f"has parts that are not called {', '.join(sorted({*wrong.values()}))}"
        raise UserError(what, where=str(folder), value=sorted(wrong), remedy=f"Rename {names}")
    there = [part for part in PARTS if part in found]
    if len(there) == 1:
        missing = next(part for part in PARTS if part not in there)
        what = f"has a folder {there[0]} but no folder {missing}"
        remedy = f"Add {missing}/, or put the class folders there without {there[0]}/"
        if missing == "test" and VALIDATION in found:
            what = f"has folders {there[0]} and {VALIDATION} but no folder {missing}"
            remedy = f"Rename {VALIDATION} to {missing}, or add {missing}/"
        raise UserError(what, where=str(folder), remedy=remedy)
    if not there:
        return ()
    beside = [path for path in entries if path.name not in found]
    notes += _left_out(beside, f"as it is not in {', '.join(found)}")
    if VALIDATION in found:
        notes.append(f"{VALIDATION}/ is the validation split; data.validation is not read")
    return found


def _kinds(folder: Path) -> list[str]:
    return [kind for kind, names in _CALLED.items() if folder.name.lower() in names]


def class_folders(
    folder: Path, suffixes: Sequence[str], noun: str, obtain: str, notes: list[str]
) -> dict[str, list[Path]]:
    """Files of each class, both sorted by name; what was left out is told in ``notes``.

    ``suffixes`` are the ends of names that count; ``noun`` is what such a file is called.

    Raises:
        UserError: fewer than two classes, a class without files, or folders within a class.
    """
    entries = sorted(_listed(folder), key=lambda path: path.name)
    tree = {path.name: _files(path, suffixes, noun, notes) for path in entries if path.is_dir()}
    if len(tree) < 2:
        found = f"only the class {next(iter(tree))}" if tree else "no class folder"
        what = f"holds {found}; at least two classes are needed"
        raise UserError(what, where=str(folder), remedy=obtain)
    loose = [path for path in entries if not path.is_dir()]
    notes += _left_out(loose, "as it is not in the folder of a class")
    return tree


def same_classes(folder: Path, trees: Mapping[str, Tree]) -> tuple[str, ...]:
    """The classes, which all parts must have.

    Raises:
        UserError: names those that one part lacks.
    """
    train = trees["train"]
    for part, tree in trees.items():
        for one, other, where, has in ((tree, train, "train", part), (train, tree, part, "train")):
            if missing := sorted(set(one) - set(other)):
                what = f"has no folder for {', '.join(missing)}, which {has} has"
                raise UserError(what, where=str(folder / where))
    return tuple(train)


def _files(folder: Path, suffixes: Sequence[str], noun: str, notes: list[str]) -> list[Path]:
    entries = sorted(_listed(folder), key=lambda path: path.name)
    if nested := next((path for path in entries if path.is_dir()), None):
        what = f"is a folder inside a class folder, which may hold {noun}s only"
        remedy = f"Put its {noun}s into the class folder, or give the folder of train/ and test/"
        raise UserError(what, where=str(nested), remedy=remedy)
    found = [path for path in entries if path.suffix.lower() in suffixes]
    if not found:
        what = f"holds no {noun} ({', '.join(suffix[1:] for suffix in suffixes)})"
        raise UserError(what, where=str(folder))
    others = [path for path in entries if path.suffix.lower() not in suffixes]
    notes += _left_out(others, f"as it is not a {noun}")
    return found


def _left_out(paths: Sequence[Path], why: str) -> list[str]:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return [f"left out, {why}: {paths[0]}{more}"] if paths else []


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder, without hidden files such as a desktop's thumbnails."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(folder)) from error
