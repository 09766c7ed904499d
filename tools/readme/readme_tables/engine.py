"""The packed engine: time beside its peers, exactness, size of the file, export to C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from readme_tables.markdown import link, table


def engine_table(
    rows: list[dict[str, Any]], path: Path, title: str = "The packed engine beside its peers"
) -> str:
    """A row a net, batch and number of threads; the engine's best level and its peers."""
    machine = rows[0]["machine"]
    rounds = " or ".join(map(str, sorted({row["rounds"] for row in rows})))
    peers = [
        ("onnxruntime-int8", "ONNX Runtime int8"),
        ("openvino-int8", "OpenVINO int8"),
        ("onnxruntime-fp32", "ONNX Runtime float32"),
        ("torch-fp32", "PyTorch float32"),
        ("torch-compiled", "PyTorch compiled"),
        ("spikingjelly", "SpikingJelly"),
    ]
    about = (
        f"**{title}**, each peer in processes of its own, in turn,"
        f" warm medians of {rounds} rounds, ms per image, {machine['cpu']},"
        f" Python {machine['python']}, torch {machine['versions']['torch']},"
        f" ONNX Runtime {machine['versions']['onnxruntime']}"
        f" ({link(path)}); `x` is how many times faster the engine is, by"
        " the rounds' ratios. The nets are random tickets that fire as trained ones do; of"
        " `spikformer` only ConvPEP is sparse and binary, as in a MultiSp ticket, its encoder has"
        " float weights, whose multiplications bound the time; of `spikformer-binary` all layers"
        " are sparse and binary:"
    )
    columns = "net | zeros %: | batch: | threads: | engine: | its level | portable C:"
    lines = []
    for row in rows:
        found = {r["peer"]: r for r in row["rows"] if r["status"] == "measured"}
        best = best_engine(found)
        if best is None:
            continue
        cells = [
            row["net"],
            f"{100 * row['zeros']:g}",
            str(row["batch"]),
            str(row["threads"]),
            _ms(best),
            best["title"].removeprefix("engine, "),
            _ms(found.get("engine-generic")),
        ]
        for name, _ in peers:
            peer = found.get(name)
            cells += [_ms(peer), times_faster(best, peer)]
        lines.append(" | ".join(cells))
    return table(about, columns + _named(peers), lines)


def short_table(rows: list[dict[str, Any]], path: Path) -> str:
    """A row a net and batch: the engine beside the two int8 runtimes and PyTorch."""
    machine = rows[0]["machine"]
    peers = [
        ("onnxruntime-int8", "ONNX Runtime int8"),
        ("openvino-int8", "OpenVINO int8"),
        ("torch-fp32", "PyTorch float32"),
    ]
    about = (
        f"Packed engine, {machine['cpu']}, one thread, ms per image; `x` is how many times faster"
        f" it is than a peer timed in turn with it ({link(path)}; random"
        " tickets that fire as trained ones do, CIFAR-10, T=4; of `spikformer` only ConvPEP is"
        " sparse and binary, as in a MultiSp ticket, and float multiplications bound the time; of"
        " `spikformer-binary` all layers are):"
    )
    lines = []
    for row in rows:
        found = {r["peer"]: r for r in row["rows"] if r["status"] == "measured"}
        best = best_engine(found)
        if best is None or row["threads"] != 1:
            continue
        cells = [row["net"], f"{100 * row['zeros']:g}", str(row["batch"]), _ms(best)]
        for name, _ in peers:
            cells += [_ms(found.get(name)), times_faster(best, found.get(name))]
        lines.append(" | ".join(cells))
    return table(about, "net | zeros %: | batch: | engine:" + _named(peers), lines)


def _named(peers: list[tuple[str, str]]) -> str:
    """Two columns for each peer."""
    return "".join(f" | {title}: | x:" for _, title in peers)


def best_engine(found: dict[str, Any]) -> dict[str, Any] | None:
    """The engine at the best level this processor has."""
    names = ("engine-avx512", "engine-avx2", "engine-generic")
    return next((found[name] for name in names if name in found), None)


def threads_table(rows: list[dict[str, Any]], path: Path) -> str:
    """The same on two threads: of one image, and of batches."""
    title = (
        'On two threads: one image that both work on (`mode="latency"`, beside one thread), and'
        " batches that they share out"
    )
    return engine_table(rows, path, title)


def tuning_table(rows: list[dict[str, Any]], path: Path) -> str:
    """A row a net: layers for which timing chose another kernel than the estimate."""
    return table(
        f"**Kernels chosen by timing** (`tune=True`) against the estimate, one image, one thread,"
        f" {rows[0]['machine']['cpu']} ({link(path)}):",
        "net | layers with a choice: | chosen otherwise: | ms by the estimate: | ms tuned:",
        (
            f"{row['ticket']} | {len(row['layers'])} |"
            f" {sum(layer['estimated'] != layer['tuned'] for layer in row['layers'])} |"
            f" {row['estimated_ms']:.3g} | {row['tuned_ms']:.3g}"
            for row in rows
        ),
    )


def start_table(rows: list[dict[str, Any]], path: Path) -> str:
    """How long processes take to start and to answer: a command per row."""
    first = rows[0]
    return table(
        f"**From the start of a process to its end**, one picture, one thread,"
        f" {first['machine']['cpu']}, median of {first['rounds']} rounds in turn"
        f" ({link(path)}):",
        "command | ms: | best:",
        (f"{r['command']} | {r['median_ms']:.0f} | {r['min_ms']:.0f}" for r in rows),
    )


def _ms(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['ms_per_image']:.3g}"


def times_faster(engine: dict[str, Any], peer: dict[str, Any] | None) -> str:
    if peer is None:
        return "-"
    known = engine["times_faster_than"].get(peer["peer"])
    return f"{known if known is not None else peer['ms_per_image'] / engine['ms_per_image']:.1f}"


def exactness_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Spikes of the engine against PyTorch's: a net a row."""
    return table(
        f"**The engine's spikes against PyTorch's**, every neuron and step, each layer given the"
        f" model's own input ({link(path)}). `rounding`: a float64 sum"
        " lies within float32 rounding of the threshold; `wrong`: all else that differs.",
        "net | data | samples: | neuron-steps, million: | differ: | rounding: | wrong: |"
        " largest difference of logits:",
        (
            f"{r['net']}, {r['condition']} | {r['data']} | {r['samples']} |"
            f" {r['neuron_steps'] / 1e6:.1f} | {r['different']} | {r['rounding']} | {r['wrong']} |"
            f" {r['logit_difference']:.1e}"
            for r in rows
        ),
    )


def codec_table(rows: list[dict[str, Any]], path: Path) -> str:
    """The ticket file of VGG-9: size against entropy, speed."""
    first = rows[0]
    return table(
        f"**The ticket file** of VGG-9 ({first['weights']:,} weights,"
        f" {first['fp32_bytes'] / 1e6:.2f} MB as float32), random masks, one thread,"
        f" {first['device']}, best of {first['rounds']} rounds, MB of float32 weights per second of"
        f" processor time ({link(path)}):",
        "zeros %: | signs | mask, times its entropy: | file kB: | times smaller than float32:"
        " | write MB/s: | read MB/s:",
        (
            f"{100 * r['zeros']:g} | {'stored' if r['signs'] == 'raw' else 'from the seed'} |"
            f" {r['mask_over_entropy']:.4f} | {r['file_bytes'] / 1e3:.1f} | {r['times_smaller']} |"
            f" {r['write_mb_per_s']:.0f} | {r['read_mb_per_s']:.0f}"
            for r in rows
        ),
    )


def export_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Exported C on a Cortex-M4: sizes and instructions."""
    first = rows[0]
    return table(
        f"**Exported C** for one image or recording, {first['board']},"
        f" {first['board_compiler']} ({link(path)}):",
        f"net | zeros %: | flash kB: | RAM kB: | stack bytes: | million instructions: | ms on"
        f" {first['host']}:",
        (
            f"{r['name']} | {100 * r['zeros']:.0f} | {r['flash_bytes'] / 1e3:.0f} |"
            f" {r['ram_bytes'] / 1e3:.1f} | {r['stack_bytes']} | {r['instructions'] / 1e6:.0f} |"
            f" {r['host_ms']:.1f}"
            for r in rows
        ),
    )


MAKERS = {
    "engine": engine_table,
    "engine-threads": threads_table,
    "engine-tuning": tuning_table,
    "start": start_table,
    "engine-exactness": exactness_table,
    "ticket-codec": codec_table,
    "export-c": export_table,
}
"""As in ``speed``."""
