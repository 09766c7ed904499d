"""Files of a user's own folders that are there twice, byte for byte."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from spiketicket.data.store import file_md5

Labelled = Mapping[str, Sequence[tuple[Path, int]]]
"""Files of ``train``, of ``test``, and of ``val`` where there is one, each with its class."""


def copies(parts: Labelled) -> list[str]:
    """A line for each kind of copies that makes a test say less, with the first pair of files.

    These are files of one part that another has too, and files with two labels.

    Raises:
        OSError: a file cannot be read.
    """
    pairs: dict[str, list[tuple[Path, Path]]] = defaultdict(list)
    for alike in _alike(parts):
        first = alike[0]
        for other in alike[1:]:
            if first[0] != other[0]:
                pairs[f"are in {first[0]} and in {other[0]}"].append((first[1], other[1]))
            if first[2] != other[2]:
                pairs["have two labels"].append((first[1], other[1]))
    return [
        f"equal bytes: {len(found)} {'file' if len(found) == 1 else 'files'} {_one(what, found)},"
        f" first {found[0][0]} and {found[0][1]}"
        for what, found in pairs.items()
    ]


def _one(what: str, found: Sequence[object]) -> str:
    return what.replace("are ", "is ", 1).replace("have ", "has ", 1) if len(found) == 1 else what


def _alike(parts: Labelled) -> Iterator[list[tuple[str, Path, int]]]:
    """Part, file and label of files with the same content, of each content in order."""
    sizes: dict[int, list[tuple[str, Path, int]]] = defaultdict(list)
    for part, files in parts.items():
        for path, label in files:
            sizes[path.stat().st_size].append((part, path, label))
    for same in sizes.values():
        if len(same) > 1:  # only then is there anything to read
            contents: dict[str, list[tuple[str, Path, int]]] = defaultdict(list)
            for entry in same:
                contents[file_md5(entry[1])].append(entry)
            yield from (found for found in contents.values() if len(found) > 1)
