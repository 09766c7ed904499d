"""``spiketicket live``: decisions while events come in. Needs no PyTorch."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from spiketicket.cli.declare import Argument, Exit, Option
from spiketicket.cli.guard import BAD_INPUT, SOME_FAILED
from spiketicket.cli.options import (
    MaxMemoryOption,
    RoiOption,
    ScaleOption,
    TicketArgument,
    require_there,
)
from spiketicket.cli.run import Unit
from spiketicket.errors import UserError, plain
from spiketicket.machine.output import fail, is_terminal, note, tell

if TYPE_CHECKING:
    from spiketicket.online.session import Live

_FRAME_S = 0.1


def live(
    ticket: TicketArgument,
    source: Annotated[
        str,
        Argument(
            metavar="SOURCE",
            help="A recording, or a folder of them; udp://HOST:PORT, AER in UDP; - for standard"
            " input, lines of t x y p; camera:, camera:dv or camera:prophesee.",
        ),
    ],
    *,
    window_ms: Annotated[
        float | None,
        Option("--window-ms", help="Duration of a window. Default: the ticket's, where it says."),
    ] = None,
    hop_ms: Annotated[
        float | None,
        Option("--hop-ms", help="From one window to the next. Default: the window."),
    ] = None,
    window_events: Annotated[
        int | None, Option("--window-events", min=1, help="Cut windows by their number of events.")
    ] = None,
    hop_events: Annotated[
        int | None, Option("--hop-events", min=1, help="Events from one window to the next.")
    ] = None,
    state: Annotated[
        Literal["reset", "carry"],
        Option(
            "--state",
            help="reset: each window from rest, as eval computes it. carry: each hop is one more"
            " time step, and membranes go on.",
        ),
    ] = "reset",
    speed: Annotated[
        str,
        Option("--speed", metavar="X|max", help="Of a recording: 1 is its own. Default: 1."),
    ] = "1",
    loop: Annotated[bool, Option("--loop", help="Play recordings again and again.")] = False,
    sensor: Annotated[
        str,
        Option("--sensor", metavar="WxH", help="The sensor's size, where the source does not say."),
    ] = "",
    roi: RoiOption = None,
    scale: ScaleOption = None,
    time_unit: Annotated[
        Unit | None, Option("--time-unit", help="Unit of times in .npz and .npy files.")
    ] = None,
    topic: Annotated[
        str | None, Option("--topic", help="Which stream of events of a bag or an HDF5 file.")
    ] = None,
    majority: Annotated[
        int, Option("--majority", min=1, help="Tell the most frequent of so many last classes.")
    ] = 1,
    hysteresis: Annotated[
        int,
        Option("--hysteresis", min=1, help="Tell another class after so many times in a row."),
    ] = 1,
    queue: Annotated[
        int, Option("--queue", min=1, help="Windows that may wait; the newest win.")
    ] = 4,
    record: Annotated[
        Path | None,
        Option("--record", metavar="FILE", help="Write what comes in to this new .npy file."),
    ] = None,
    threads: Annotated[int, Option("--threads", min=1, help="CPU threads.")] = 1,
    max_memory: MaxMemoryOption = "",
    as_json: Annotated[
        bool, Option("--json", help="Lines of JSON on a terminal too, and no screen.")
    ] = False,
) -> None:
    """Decide, window by window, about events as they come in: a line of JSON for each decision, or
    on a terminal one screen with the events, the classes and the latency.

    A summary on standard error ends it, also where the source breaks off, whoever reads has gone,
    or Ctrl-C is pressed.
    """
    require_there(ticket)

    from spiketicket.events.fit import parse_fit
    from spiketicket.online.session import live as start

    running = start(
        ticket,
        source,
        window_ms=window_ms,
        hop_ms=hop_ms,
        window_events=window_events,
        hop_events=hop_events,
        state=state,
        speed=_speed(speed),
        loop=loop,
        sensor=_pair(sensor),
        fit=parse_fit(roi, scale),
        time_unit=None if time_unit is None else time_unit.value,
        topic=topic,
        majority=majority,
        hysteresis=hysteresis,
        queue=queue,
        record=record,
        threads=threads,
    )
    code = 0
    has_screen = is_terminal() and os.environ.get("TERM", "dumb") != "dumb"
    try:
        with _ended_by_signal():
            (_show if has_screen and not as_json else _write)(running)
    except UserError as error:
        fail(str(error))
        # What cannot be read at all is bad input; what breaks off has given decisions.
        code = SOME_FAILED if running.meter.decisions else BAD_INPUT
    except BrokenPipeError:
        code = SOME_FAILED
        note("whoever read the decisions has gone")
    except KeyboardInterrupt:
        pass
    finally:
        running.close()
    tell_summary(running.summary())
    if code:
        raise Exit(code)


def _show(running: Live) -> None:
    """One screen, drawn again ten times per second; what was there before comes back at the end."""
    from spiketicket.online import screen

    out, drawn = sys.stdout, 0.0
    out.write("\x1b[?1049h\x1b[?25l")
    try:
        for decision in running:
            now = time.monotonic()
            if now - drawn < _FRAME_S or running.window is None:
                continue
            drawn = now
            columns, rows = shutil.get_terminal_size()
            meter = running.meter
            side = [
                f"{decision.name}",
                "",
                *screen.bars(decision.logits, running.engine.classes, decision.best),
            ]
            below = screen.rates(running.summary(), meter.decisions_per_s, meter.events_per_s)
            seen = screen.picture(
                running.window.data, running.sensor, columns - 45, rows - len(below) - 3
            )
            lines = [*screen.beside(seen, side, columns), "", *below, "Ctrl-C ends it"][: rows - 1]
            out.write("\x1b[H" + "".join(f"{plain(line)[:columns]}\x1b[K\n" for line in lines))
            out.write("\x1b[J")
            out.flush()
    finally:
        out.write("\x1b[?25h\x1b[?1049l")
        out.flush()


def _write(running: Live) -> None:
    for decision in running:
        if sys.stdout is not None:
            sys.stdout.write(f"{json.dumps(decision.to_dict())}\n")
            sys.stdout.flush()


def tell_summary(summary: dict[str, Any]) -> None:
    """What was decided, how fast, and what was left out, on standard error."""
    for text in summary["notes"]:
        note(text)
    tell(
        f"{summary['decisions']:,} decisions in {summary['seconds']:.1f} s"
        f" ({summary['decisions_per_s'] or 0:,.1f}/s) on {summary['events']:,} events"
        f" ({summary['events_per_s'] or 0:,.0f}/s)"
    )
    if summary["decisions"]:
        for key, what in (("latency_us", "last event"), ("wait_us", "end of window")):
            times = ", ".join(f"{k} {v / 1000:.3f}" for k, v in summary[key].items())
            tell(f"ms from {what} to answer: {times}")
    if summary["recorded_events"] is not None:
        tell(f"{summary['recorded_events']:,} events recorded")
    tell(
        f"left out: {summary['dropped_windows']:,} windows for newer ones,"
        f" {summary['silent_windows']:,} silent windows, {summary['late_events']:,} late events,"
        f" {summary['crowded_events']:,} events of crowded windows;"
        f" clock resets: {summary['clock_resets']:,}"
    )


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise UserError("must be a number above 0, or max", where="--speed", value=text)


def _pair(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and len(p) < 7 for p in parts):
        raise UserError("must have the form WIDTHxHEIGHT", where="--sensor", value=text)
    return int(parts[0]), int(parts[1])
