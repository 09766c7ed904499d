"""MCAP: its topics as JSON, then the messages of the one that is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcap.reader import SeekingReader
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader

from spiketicket.errors import UserError
from spiketicket.events.formats._bag import MOST_TOPICS, Topic, choose


def parts(path: str, asked: dict[str, Any]) -> Iterator[bytes]:
    """The messages of the topic ``asked["topic"]``, or of the only one with events."""
    topics = _topics(path, asked["most"])
    yield json.dumps([topic._asdict() for topic in topics]).encode()
    try:
        chosen = choose(topics, asked["topic"], path)
    except UserError:
        return  # who reads the topics says the same
    with Path(path).open("rb") as file:
        of_topic: set[int] = set()
        for record in StreamReader(file, record_size_limit=asked["most"]).records:
            if isinstance(record, Channel) and record.topic == chosen.name:
                of_topic.add(record.id)
            elif isinstance(record, Message) and record.channel_id in of_topic:
                yield record.data


def _topics(path: str, most: int) -> list[Topic]:
    """Those of the summary, or where there is none those that all records name."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    with Path(path).open("rb") as file:
        try:
            summary = SeekingReader(file, record_size_limit=most).get_summary()
        except MemoryError:
            raise
        except Exception:
            summary = None
        if summary is not None and summary.channels:
            schemas, channels = summary.schemas, summary.channels
        else:
            file.seek(0)
            _scan(file, most, schemas, channels)
    found = {}
    for channel in list(channels.values())[:MOST_TOPICS]:
        schema = schemas.get(channel.schema_id)
        found[channel.topic] = Topic(
            channel.topic, schema.name if schema else "", channel.message_encoding
        )
    return list(found.values())


def _scan(file: Any, most: int, schemas: dict[int, Schema], channels: dict[int, Channel]) -> None:
    try:
        for record in StreamReader(file, record_size_limit=most).records:
            if len(channels) > MOST_TOPICS or len(schemas) > MOST_TOPICS:
                return
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
    except MemoryError:
        raise
    except Exception:
        if not channels:
            raise
