"""``spiketicket.live``: the decisions about what comes from a source, one after the other."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spiketicket.engine import Engine
from spiketicket.engine.inputs import Recordings as Reader
from spiketicket.engine.inputs import reader_for
from spiketicket.errors import UserError, argument
from spiketicket.events import Events
from spiketicket.events.fit import Fit, mismatch
from spiketicket.machine.typed import typed
from spiketicket.online.decide import CarriedOn, FromRest
from spiketicket.online.meter import Meter
from spiketicket.online.record import Recorder
from spiketicket.online.smooth import Smoothed
from spiketicket.online.source import Asked, open_source
from spiketicket.online.waiting import Waiting
from spiketicket.online.window import Window, Windows
from spiketicket.ticket import Ticket

if TYPE_CHECKING:
    from spiketicket.online.packets import Packet, Source

Memory = Literal["reset", "carry"]
_LONGEST_US = 3_600_000_000
_MOST_COUNT = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An answer to one window."""

    number: int
    """Of the windows that were given, those that were left out too; from 0."""
    start_us: int | None
    """Where the window begins, by the events' clock; None where it is cut by number."""
    stop_us: int | None
    """The microsecond behind its end."""
    last_us: int | None
    """The time of its last event."""
    answered_at: float
    """When the answer was there; seconds since 1970."""
    latency_us: float
    """From its last event (that came, or was due) to the answer; as fast as may be: of the answer
    alone.
    """
    wait_us: float
    """From its end, when it could first be answered, to the answer."""
    events: int
    best: int
    """The class that is told: of the largest logit, where nothing is smoothed."""
    name: str
    logits: tuple[float, ...]
    dropped: int
    """Windows that were left out so far, because newer ones came."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "window": self.number,
            "start_us": self.start_us,
            "stop_us": self.stop_us,
            "last_event_us": self.last_us,
            "answered_at": round(self.answered_at, 6),
            "latency_us": round(self.latency_us, 1),
            "wait_us": round(self.wait_us, 1),
            "events": self.events,
            "class": self.best,
            "name": self.name,
            "logits": list(self.logits),
            "dropped": self.dropped,
        }


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """How windows are cut: microseconds, or numbers of events."""

    length: int
    hop: int
    by_count: bool


class Live:
    """Decisions, in the order of their windows; iterate once, or use as a context and close it."""

    def __init__(
        self,
        engine: Engine,
        source: Source,
        cutting: Cutting,
        *,
        decide: FromRest | CarriedOn,
        smoothed: Smoothed,
        queue: int,
        fit: Fit | None,
        recorder: Recorder | None,
    ) -> None:
        self.engine, self.source = engine, source
        self.meter = Meter()
        self._decide, self._smoothed, self._fit = decide, smoothed, fit
        self._recorder = recorder
        carried = isinstance(decide, CarriedOn)
        self._windows = Windows(
            cutting.length, cutting.hop, by_count=cutting.by_count, silence=carried
        )
        self._waiting: Waiting[tuple[int, Window]] = Waiting(queue, lossy=source.paced)
        self._given = 0
        self._began = False
        self.window: Window | None = None
        """The one that the last decision is about."""
        self.sensor = source.sensor if fit is None else fit.size(source.sensor)
        """Of what is looked at."""

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the source."""
        self.source.close()
        self._waiting.end()

    def __iter__(self) -> Iterator[Decision]:
        """The decisions.

        Raises:
            UserError: the source is damaged or breaks off; what was decided before stands.
        """
        if self._began:
            what = "gives its decisions once"
            raise UserError(what, where="live", remedy="Call spiketicket.live again")
        self._began = True
        self.engine.run(np.zeros((1, *self.engine.input_shape), np.float32))  # fills its caches
        self.meter = Meter()
        reading = threading.Thread(target=self._read, name="events", daemon=True)
        reading.start()
        try:
            yield from self._answers()
        finally:
            self.close()
            reading.join(timeout=5.0)
        if self._waiting.error is not None:
            raise self._waiting.error

    def _answers(self) -> Iterator[Decision]:
        while not self._waiting.ended:
            taken = self._waiting.take(timeout=0.2)
            self.meter.seen(self._windows.counts.events)
            if taken is not None:
                yield self._decided(*taken)

    def _decided(self, number: int, window: Window) -> Decision:
        if window.restart:
            self._smoothed.restart()
        self.window = window
        taken = time.perf_counter()
        logits = self._decide(window)
        best = self._smoothed(int(logits.argmax()))
        now = time.perf_counter()
        latency, wait = (
            1e6 * max(0.0, now - (at if self.source.paced else taken))
            for at in (window.last_at, window.ended_at)
        )
        self.meter.add(latency, wait)
        start, stop = window.span_us or (None, None)
        return Decision(
            number=number,
            start_us=start,
            stop_us=stop,
            last_us=window.last_us,
            answered_at=time.time(),
            latency_us=latency,
            wait_us=wait,
            events=len(window.data),
            best=best,
            name=self.engine.classes[best],
            logits=tuple(float(v) for v in logits),
            dropped=self._waiting.dropped,
        )

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            with contextlib.closing(self.source):
                for packet in self.source:
                    if not self._take(packet):
                        break
        except BaseException as raised:
            error = raised
        if self._recorder is not None:
            try:
                self._recorder.close()
            except OSError as raised:
                error = error or raised
        self._waiting.end(error)

    def _take(self, packet: Packet) -> bool:
        for window in self._windows.push(self._seen(packet)):
            number, self._given = self._given, self._given + 1
            if not self._waiting.put((number, window)):
                return False
        return True

    def _seen(self, packet: Packet) -> Packet:
        if self._recorder is not None:
            self._recorder.add(packet.data)
        if self._fit is None:
            return packet
        return replace(packet, data=self._fit(Events(packet.data, *self.source.sensor)).data)

    def summary(self) -> dict[str, Any]:
        """What was decided, how fast, and what was left out, so far."""
        counts, meter = self._windows.counts, self.meter
        seconds = meter.seconds
        return {
            "decisions": meter.decisions,
            "seconds": round(seconds, 3),
            "decisions_per_s": round(meter.decisions / seconds, 1) if seconds else None,
            "events": counts.events,
            "events_per_s": round(counts.events / seconds, 1) if seconds else None,
            "latency_us": meter.latency.to_dict(),
            "wait_us": meter.wait.to_dict(),
            "dropped_windows": self._waiting.dropped,
            "silent_windows": counts.silent,
            "late_events": counts.late,
            "crowded_events": counts.crowded,
            "clock_resets": counts.resets,
            "recorded_events": self._recorder.count if self._recorder else None,
            "notes": list(self.source.notes),
        }


@typed
def live(
    ticket: Ticket | Engine | str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    window_ms: float | None = None,
    hop_ms: float | None = None,
    window_events: int | None = None,
    hop_events: int | None = None,
    state: Memory = "reset",
    speed: float = 1.0,
    loop: bool = False,
    sensor: tuple[int, int] | None = None,
    fit: Fit | None = None,
    time_unit: Literal["s", "ms", "us", "ns"] | None = None,
    topic: str | None = None,
    majority: int = 1,
    hysteresis: int = 1,
    queue: int = 4,
    record: str | os.PathLike[str] | None = None,
    threads: int = 1,
) -> Live:
    """Decisions about what comes from a source, window by window, as it comes.

        for decision in spiketicket.live("my.ticket", "recording.raw", window_ms=100, hop_ms=10):
            print(decision.last_us, decision.name, decision.latency_us)

    Args:
        ticket: of a network for recordings, its path, its name in the zoo, or an Engine.
        source: path of a recording, or of a folder of recordings; ``udp://HOST:PORT`` for AER in
            UDP; ``-`` for standard input; ``camera:``, ``camera:dv`` or ``camera:prophesee``.
        window_ms: duration of a window. Default: that of the ticket, where it says.
        hop_ms: from one window to the next. Default: the window; with ``state="carry"`` the
            window by the ticket's time steps, T.
        window_events: cut windows by their number of events in place of time.
        hop_events: likewise, in place of ``hop_ms``.
        state: ``reset``: each window is computed from rest, as ``eval`` does, to the bit.
            ``carry``: each hop is one more time step, membranes go on, and the answer is the mean
            over the last T steps: only the new step is computed.
        speed: of a recording that is played: 1 is its own, ``inf`` as fast as answers come.
        loop: play recordings again and again.
        sensor: width and height, for sources that do not tell. Default: the ticket's.
        fit: the part of another sensor than the ticket's to look at, and the size it is scaled to.
        time_unit: of times in ``.npz`` and ``.npy`` files.
        topic: which of several streams of a file.
        majority: tell the most frequent of so many last answers.
        hysteresis: tell another class only when it was found so many times in a row.
        queue: windows that may wait; where more come the oldest are left out, and counted. With
            ``speed=inf`` none is left out.
        record: a new ``.npy`` file for what comes in, as it comes in; it is a source too.
        threads: of the processor, that compute.

    Raises:
        UserError: a ticket that is not for recordings, a source that cannot be read or is of
            another sensor, or values that do not go together.
    """
    engine = ticket if isinstance(ticket, Engine) else Engine(ticket, threads=threads)
    reader = reader_for(engine, resize=False, time_unit=time_unit)
    if not isinstance(reader, Reader):
        what = "classifies pictures, and a live source gives events"
        raise UserError(what, where="ticket", remedy="spiketicket run classifies pictures")
    if not speed > 0:
        raise UserError("must be above 0", where=argument("speed"), value=speed)
    for name, value in (("majority", majority), ("hysteresis", hysteresis), ("queue", queue)):
        if not 1 <= value <= 1 << 16:
            what = f"must be a whole number from 1 to {1 << 16}"
            raise UserError(what, where=argument(name), value=value)
    cutting = _cutting(reader, state, (window_ms, hop_ms), (window_events, hop_events))
    asked = Asked(
        speed=speed,
        loop=loop,
        sensor=sensor or reader.sensor,
        time_unit=reader.time_unit,
        topic=topic,
        dataset=reader.dataset,
    )
    opened = open_source(os.fspath(source), asked)
    framing = reader.framing
    height, width = engine.input_shape[-2:]
    size = opened.sensor if fit is None else fit.size(opened.sensor)
    wanted = reader.sensor or (width, height)
    if size not in (wanted, (width, height)):
        opened.close()
        raise mismatch(size, wanted, str(source))
    decide = (CarriedOn if state == "carry" else FromRest)(engine, framing, size)
    return Live(
        engine,
        opened,
        cutting,
        decide=decide,
        smoothed=Smoothed(majority, hysteresis),
        queue=queue,
        fit=fit,
        recorder=None if record is None else Recorder(Path(record)),
    )


def _cutting(
    reader: Reader,
    state: Memory,
    by_time: tuple[float | None, float | None],
    by_count: tuple[int | None, int | None],
) -> Cutting:
    counted = by_count != (None, None)
    if counted and by_time != (None, None):
        what = "windows are cut by time or by number of events, not by both"
        raise UserError(what, where=argument("window_events"))
    steps = reader.framing.steps
    if counted:
        length, hop = by_count
        names, most = ("window_events", "hop_events"), _MOST_COUNT
    else:
        window_ms, hop_ms = by_time
        length = _us(window_ms, "window_ms") if window_ms is not None else reader.window_us
        hop = _us(hop_ms, "hop_ms") if hop_ms is not None else None
        names, most = ("window_ms", "hop_ms"), _LONGEST_US
    if state == "carry" and length is not None and hop is None:
        hop = max(1, length // steps)
    if state == "carry" and hop is not None:
        length = hop
    if length is None:
        raise UserError(
            "the ticket does not say how long a window is",
            where=argument(names[0]),
            remedy=f"Give {argument('window_ms')}, about as long as what it was trained on",
        )
    hop = length if hop is None else hop
    for name, value in zip(names, (length, hop), strict=True):
        if not 1 <= value <= most:
            what = f"must be from 1 to {most:,}{'' if counted else ' us'}"
            raise UserError(what, where=argument(name), value=value)
    return Cutting(length=length, hop=hop, by_count=counted)


def _us(ms: float, name: str) -> int:
    if not math.isfinite(ms):
        raise UserError("must be a number", where=argument(name), value=ms)
    return round(1000 * ms)
