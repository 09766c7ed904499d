"""Augmentation of recordings, before they are framed.

Every draw comes from a stream of ours: with ``Stream(seed, "augment", epoch, index)`` a sample is
a function of (seed, epoch, index) on every machine.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Interval, Lt

from spiketicket.errors import UserError
from spiketicket.events.types import Events
from spiketicket.recipe import Section
from spiketicket.streams import Stream


class EventAugmentConfig(Section):
    """What is done to a training recording at random; nothing by default."""

    shift: Annotated[int, Interval(ge=0, le=65535)] = 0
    """Largest shift in pixels, each way."""
    flip: bool = False
    """Whether to mirror half of the recordings left to right."""
    drop: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Probability with which each event is left out."""
    jitter_us: Annotated[int, Interval(ge=0, le=2**31 - 1)] = 0
    """Largest change of an event's time in microseconds, either way."""


def augment(events: Events, config: EventAugmentConfig, stream: Stream) -> Events:
    """Shift, mirror, drop and jitter, in this order; each draws from a child stream of its own.

    Turning one of them off does not change what the others draw. The result may have fewer
    events, even none: frame it with the ``span_us`` of the recording. ``notes`` are kept.

    Raises:
        UserError: ``shift`` could push every event out of sight.
    """
    if config.shift:
        least = min(events.width, events.height)
        if config.shift >= least:
            what = f"must be less than {least}, the sensor's smaller side"
            raise UserError(what, where="augment.shift", value=config.shift)
        places = 2 * config.shift + 1
        dx, dy = (
            int(stream.child("shift", axis).integers(1, places)[0]) - config.shift
            for axis in ("x", "y")
        )
        events = shift(events, dx, dy)
    if config.flip and stream.child("flip").signs(1)[0] > 0:
        events = mirror(events)
    if config.drop:
        events = drop(events, config.drop, stream.child("drop"))
    if config.jitter_us:
        events = jitter(events, config.jitter_us, stream.child("jitter"))
    return events


def shift(events: Events, dx: int, dy: int) -> Events:
    """All events ``dx`` pixels to the right and ``dy`` down; those that leave the sensor go."""
    x, y = events.x.astype(np.int64) + dx, events.y.astype(np.int64) + dy
    inside = (x >= 0) & (x < events.width) & (y >= 0) & (y < events.height)
    data = events.data[inside]
    data["x"], data["y"] = x[inside], y[inside]
    return Events(data, events.width, events.height, events.notes)


def mirror(events: Events) -> Events:
    """Left and right exchanged: column x becomes ``width - 1 - x``."""
    data = events.data.copy()
    data["x"] = events.width - 1 - data["x"].astype(np.int64)
    return Events(data, events.width, events.height, events.notes)


def drop(events: Events, probability: float, stream: Stream) -> Events:
    """Leave each event out with ``probability``, independently of the others.

    The probability is rounded to a multiple of 2**-32. Source: the random drop of F. Gu et al.,
    "EventDrop: data augmentation for event-based learning" (IJCAI 2021).
    """
    kept = stream.bits(len(events)) >= round(probability * 2**32)
    return Events(events.data[kept], events.width, events.height, events.notes)


def jitter(events: Events, most_us: int, stream: Stream) -> Events:
    """Add a whole number of microseconds from -``most_us`` to ``most_us`` to each event's time.

    All of them are equally likely. A time that would be negative becomes 0. The events are put
    in order again; those of the same time stay in the order they had.

    Raises:
        UserError: the recording has negative times.
    """
    if len(events) and int(events.t[0]) < 0:
        what = "the time of the first event must not be negative"
        raise UserError(what, where="jitter", value=int(events.t[0]))
    t = events.t + stream.integers(len(events), 2 * most_us + 1) - most_us
    np.maximum(t, 0, out=t)
    order = np.argsort(t, kind="stable")
    data = events.data[order]
    data["t"] = t[order]
    return Events(data, events.width, events.height, events.notes)
