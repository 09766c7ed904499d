"""Speed and memory: what the benchmarks recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from readme_tables.markdown import link, table


def step_table(rows: list[dict[str, Any]], path: Path) -> str:
    """The transformer's training step: peers, tickets, ConvPEP alone."""
    timed = [r for r in rows if "ms_per_image" in r]
    first = timed[0]
    return table(
        f"**One training step** of Spikformer TINY, T=4, batch {first['batch']},"
        f" {first['threads']} threads, {first['device']}, torch {first['torch']}; processes in"
        f" turn, medians of {first['rounds']} rounds ({link(path)}):",
        "race | | ms per image: | times the first: | range:",
        (
            f"{r['kind']} | {r['contender']} | {r['ms_per_image']:.2f} | {r['times_first']:.2f} |"
            f" {r['times_first_min']:.2f} to {r['times_first_max']:.2f}"
            for r in timed
        ),
    )


def bench_table(rows: list[dict[str, Any]], path: Path) -> str:
    """The search step: contenders, then growth."""
    race = [r for r in rows if r["kind"] == "race" and "error" not in r]
    growth = [r for r in rows if r["kind"] == "growth" and "error" not in r]
    machine = race[0]
    names = {
        "ours": "spiketicket (bf16, native kernel)",
        "ours-fp32": "spiketicket, float32",
        "ours-eager": "spiketicket, plain PyTorch neuron, bf16",
        "sj": "SpikingJelly 2.0.0, eager, masks by full sort",
        "sj-bf16": "the same, bf16 and our allocator settings",
        "sj-compile": "SpikingJelly, torch.compile, our allocator settings",
        "sj-compile-bf16": "the same, bf16",
    }
    title = (
        f"**One search step** of VGG-9, T=4, batch {machine['batch']},"
        f" {machine['threads']} threads, {machine['device']}, torch {machine['torch']};"
        f" processes in turn, medians of {machine['rounds']} rounds ({link(path)}):"
    )
    raced = (
        f"{names[r['contender']]} | {r['ms_per_image']:.1f} | {r['times_ours']:.2f} |"
        f" {r['peak_mib']}"
        for r in race
    )
    parts = [table(title, "| ms per image: | times ours: | peak MiB:", raced)]
    parts += [
        f"The step's bf16 matrix products alone would take {row['ms_per_image']:.1f} ms"
        f" per image at the measured {row['gmac_per_s']:.0f} GMAC/s."
        for row in rows
        if row["kind"] == "limit"
    ]
    if growth:
        grown = (
            f"{r['timesteps']} | {r['width']:g} | {r['ms_per_image']:.1f} | {r['peak_mib']}"
            for r in growth
        )
        parts.append(table("", "T: | width: | ms per image: | peak MiB:", grown))
    return "\n\n".join(parts)


def readers_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Reading recordings: a format per row."""
    first = rows[0]
    return table(
        f"**Reading recordings** of 100 MB, one thread, {first['device']}, medians of"
        f" {first['rounds']} rounds ({link(path)}):",
        "format | million events per second: | MB per second: | peak memory, times the file:",
        (
            f"{r['format']} | {r['events_per_s'] / 1e6:.1f} | {r['mb_per_s']} |"
            f" {r['peak_ratio']:.2f}"
            for r in rows
        ),
    )


def frames_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Events to frames: a contender per row."""
    done = [r for r in rows if "error" not in r]
    first = done[0]
    return table(
        f"**Frames** of {first['events']:,} events, {first['steps']} of"
        f" {first['side']}x{first['side']}, one thread, {first['device']}; in turn, medians of"
        f" {first['rounds']} rounds ({link(path)}):",
        "cut by equal | | ms: | times ours: | events in the frames:",
        (
            f"{r['by']} | {r['contender']} | {r['ms']:.1f} | {r['times_ours']:.2f} |"
            f" {r['events_in_frames']:,}"
            for r in done
        ),
    )


def measuring_table(rows: list[dict[str, Any]], path: Path) -> str:
    """What measuring takes beside a plain pass over the same images."""
    measured = [r for r in rows if r["pass"] == "measured"]
    first = measured[0]
    return table(
        f"**Measuring** {first['images']} images beside a plain evaluation of them, one thread,"
        f" {first['device']}; in turn, medians of {first['rounds']} rounds"
        f" ({link(path)}):",
        "net | ms: | times a plain pass: | range:",
        (
            f"{r['net']} | {r['ms']:,.0f} | {r['times_plain']:.2f} | {r['times_plain_min']:.2f} to"
            f" {r['times_plain_max']:.2f}"
            for r in measured
        ),
    )


def report_table(rows: list[dict[str, Any]], path: Path) -> str:
    """How large a report is and how long it takes."""
    first = rows[0]
    return table(
        f"**Writing a report**, imports included, {first['device']}, medians of"
        f" {first['rounds']} rounds ({link(path)}):",
        "runs: | wall time s: | processor time s: | page kB:",
        (
            f"{r['runs']} | {r['wall_s']:.2f} | {r['processor_s']:.2f} |"
            f" {r['page_bytes'] / 1e3:,.0f}"
            for r in rows
        ),
    )


def sweep_table(rows: list[dict[str, Any]], path: Path) -> str:
    """What a sweep costs per run, and runs per hour."""
    first = rows[0]

    def beyond(row: dict[str, Any]) -> str:
        if row["contender"].endswith("-2"):
            return "-"
        return f"{(row['wall_s'] - first['wall_s']) / row['runs']:.2f}"

    return table(
        f"**A sweep** of {first['runs']} runs that have nothing in common, {first['epochs']} epochs"
        f" of digits each, one thread per run, {first['device']}, {first['rounds']} round"
        f" ({link(path)}); `beyond bare` is the whole time less that of"
        " the bare runs, per run, where one runs at a time:",
        "| s in all: | runs per hour: | beyond bare, s per run:",
        (
            f"{r['contender']} | {r['wall_s']:.1f} | {r['runs_per_hour']:.0f} | {beyond(r)}"
            for r in rows
        ),
    )


MAKERS = {
    "transformer_step": step_table,
    "search_step": bench_table,
    "event_readers": readers_table,
    "event_frames": frames_table,
    "measure": measuring_table,
    "report": report_table,
    "sweep": sweep_table,
}
"""What makes the table of a file, by the file's name; in the order of the page."""
