"""Bags of ROS 2 in SQLite (.db3): tables ``topics`` (id, name, type, serialization_format) and
``messages`` (topic_id, data), of which one topic with events is read, see ``_ros``.

The file is opened for reading only, without its journal; nothing in it but these two tables is
looked at, and no view, trigger or function of it is run.

Source: "rosbag2_storage_sqlite3" in github.com/ros2/rosbag2.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from spiketicket.errors import UserError
from spiketicket.events.formats._bag import MOST_TOPICS, Topic, choose, recording_of
from spiketicket.events.reading import Recording
from spiketicket.machine.bounded import max_memory

TITLE: Final = "ROS 2 bag (SQLite)"
SUFFIXES: Final = (".db3",)
MAGIC: Final = b"SQLite format 3\0"

_COLUMNS: Final = {
    "topics": {"id", "name", "type", "serialization_format"},
    "messages": {"id", "topic_id", "data"},
}
_MOST_MESSAGE: Final = 1 << 28


def open_topic(path: Path, sensor: tuple[int, int] | None, topic: str | None) -> Recording:
    """Open a bag.

    Raises:
        UserError: no bag, no such topic, a message that is not of its type, or another sensor
            than ``sensor``.
    """
    notes: list[str] = []
    chosen, messages = open_messages(path, topic, notes)
    return recording_of(messages, chosen, path, sensor, notes)


def open_messages(path: Path, topic: str | None, notes: list[str]) -> tuple[Topic, Iterator[bytes]]:
    """The topic that is read, and its messages in the order of the bag."""
    try:
        with _opened(path) as bag:
            _check_tables(bag, path)
            query = "SELECT name, type, serialization_format FROM topics LIMIT ?"
            rows = bag.execute(query, [MOST_TOPICS]).fetchall()
    except sqlite3.Error as error:
        raise UserError(f"cannot be read as {TITLE}: {error}", where=str(path)) from error
    topics = [Topic(*(str(field) for field in row)) for row in rows]
    chosen = choose(topics, topic, str(path))
    return chosen, _messages(path, chosen, notes)


def _messages(path: Path, topic: Topic, notes: list[str]) -> Iterator[bytes]:
    query = "SELECT data FROM messages WHERE topic_id IN (SELECT id FROM topics WHERE name = ?)"
    try:
        with _opened(path) as bag:
            # By the table's own order, which is that of writing: to sort would take memory.
            for (data,) in bag.execute(f"{query} ORDER BY messages.rowid", [topic.name]):
                yield data if isinstance(data, bytes) else b""
    except sqlite3.Error as error:
        notes.append(f"cut off or damaged, what follows is left out: {error}")


def _check_tables(bag: sqlite3.Connection, path: Path) -> None:
    """The two tables must be plain ones, so that to read them runs nothing else."""
    kinds = dict(
        bag.execute(
            "SELECT name, type || CASE WHEN rootpage > 0 THEN '' ELSE ' without pages' END"
            " FROM sqlite_master WHERE name IN ('topics', 'messages')"
        ).fetchall()
    )
    for name in _COLUMNS:
        if kinds.get(name) != "table":
            what = f"is SQLite, and no bag of ROS 2: it has no plain table {name}"
            raise UserError(what, where=str(path))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    place = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(place, uri=True)) as bag:
        bag.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(_MOST_MESSAGE, max_memory()))
        bag.execute("PRAGMA trusted_schema = OFF")
        bag.execute("PRAGMA cell_size_check = ON")
        bag.text_factory = lambda raw: raw.decode("utf-8", "replace")
        bag.set_authorizer(_allowed)
        yield bag


def _allowed(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    read = action == sqlite3.SQLITE_READ and first is not None
    if read and (
        first == "sqlite_master" or second in {*_COLUMNS.get(str(first), ()), "ROWID", ""}
    ):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
