"""Time of one training step of Spikformer TINY, beside SpikingJelly's own, and what tickets save.

    python benchmarks/transformer_step.py [--rounds 7] [--output results/transformer_step.jsonl]

Timed in turns, as turns.py says. Every contender has the same images, batch and AdamW; the peer
has our allocator settings wherever they make it faster. Three races:

    peers     ours (bf16, fused native kernel), ours-fp32; sj, sj-bf16: SpikingJelly's Spikformer
              with 192 dimensions, 12 blocks and 3 heads, its LIFNode in multi-step mode, eager;
              sj-compile, sj-compile-bf16: under torch.compile
    tickets   ours; ours with 0.69 and 0.5 of the patches; with step and sign inside ConvPEP
    conv_pep  ConvPEP's forward and backward pass alone, with lif, step and sign
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turns import take_turns

STEPS, CLASSES = 4, 10
RACES = {
    "peers": ("ours", "ours-fp32", "sj", "sj-bf16", "sj-compile", "sj-compile-bf16"),
    "tickets": ("ours", "keep-0.69", "keep-0.5", "step", "sign"),
    "conv_pep": ("pep-lif", "pep-step", "pep-sign"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "keep-0.69": {"keep": 0.69, "ranking": "fixed"},
    "keep-0.5": {"keep": 0.5, "ranking": "fixed"},
    "step": {"activation": "step"},
    "sign": {"activation": "sign"},
    "pep-step": {"activation": "step"},
    "pep-sign": {"activation": "sign"},
}
GOALS = {"keep-0.69": 20, "keep-0.5": 33}
"""Percent of the step that dropping patches is to save."""
FASTER = 3
"""Times faster than the fastest peer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--races", nargs="*", default=list(RACES), choices=list(RACES))
    parser.add_argument("--skip", nargs="*", default=[], help="contenders to leave out")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows = [operations()]
    for kind in options.races:
        names = [name for name in RACES[kind] if name not in options.skip]
        rows += race(kind, names, options.rounds, options.threads, options.batch)
    print(table(rows))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def operations() -> dict[str, Any]:
    """Dense multiply-accumulates of an image by group, in a step and in all of them."""
    macs = {name: _network(name, STEPS).macs() for name in ("ours", "step", "keep-0.69")}
    return {
        "benchmark": "transformer_step",
        "kind": "macs",
        "one_step": _network("ours", 1).macs(),
        "timesteps": STEPS,
        "image": macs,
    }


def race(
    kind: str, names: list[str], rounds: int, threads: int, batch: int
) -> list[dict[str, Any]]:
    """One row per contender, with its time in those of the race's first."""
    cases = [{"contender": name, "batch": batch} for name in names]
    timed = take_turns(_make, cases, rounds, threads)
    rows = []
    for case, result in zip(cases, timed, strict=True):
        row = {"benchmark": "transformer_step", "kind": kind, "threads": threads, **case}
        if "error" in result:
            rows.append({**row, "error": result["error"]})
            continue
        ratios = [a / b for a, b in zip(result["seconds"], timed[0]["seconds"], strict=True)]
        per_image = [1000 * s / batch for s in result["seconds"]]
        rows.append(
            {
                **row,
                **result["machine"],
                "rounds": len(per_image),
                "ms_per_image": round(statistics.median(per_image), 3),
                "ms_per_image_min": round(min(per_image), 3),
                "ms_per_image_max": round(max(per_image), 3),
                "times_first": round(statistics.median(ratios), 3),
                "times_first_min": round(min(ratios), 3),
                "times_first_max": round(max(ratios), 3),
                "peak_mib": round(result["peak_mib"]),
                "first_step_s": round(result["first_step_s"], 2),
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """What was measured, for a person, and the goals."""
    lines = []
    for row in rows:
        if row["kind"] == "macs":
            shown = ", ".join(f"{k} {v / 1e6:.1f} M" for k, v in row["one_step"].items())
            lines.append(f"TINY, multiply-accumulates an image and step: {shown}")
        elif "error" in row:
            lines.append(f"{row['kind']:9} {row['contender']:16} {row['error']}")
        else:
            lines.append(
                f"{row['kind']:9} {row['contender']:16} {row['ms_per_image']:8.2f} ms per image"
                f" {row['times_first']:7.3f} times the first"
                f" ({row['times_first_min']:.3f} to {row['times_first_max']:.3f})"
                f" {row['peak_mib']:6d} MiB"
            )
    return "\n".join([*lines, *goals(rows)])


def goals(rows: list[dict[str, Any]]) -> list[str]:
    """Each goal and whether it was reached."""
    found = {(r["kind"], r["contender"]): r for r in rows if "times_first" in r}
    lines = []
    peers = [r["times_first"] for (kind, name), r in found.items() if name.startswith("sj")]
    if peers:
        reached = "reached" if min(peers) >= FASTER else "not reached"
        lines.append(f"goal {FASTER}x the fastest peer: {min(peers):.2f}x, {reached}")
    for name, percent in GOALS.items():
        if ("tickets", name) in found:
            saved = 100 * (1 - found["tickets", name]["times_first"])
            reached = "reached" if saved >= percent else "not reached"
            lines.append(f"goal {name} saves {percent} %: {saved:.1f} %, {reached}")
    return lines


def _network(name: str, steps: int) -> Any:
    from spiketicket.models import spikformer
    from spiketicket.models.blocks import DataShape
    from spiketicket.neurons import lif

    config = spikformer.Config(
        preset="tiny", timesteps=steps, bn_affine=True, **OPTIONS.get(name, {})
    )
    return spikformer.build(
        config, lif.Config(), DataShape(channels=3, height=32, width=32, classes=CLASSES)
    )


def _make(case: dict[str, Any]) -> Callable[[], None]:
    import torch
    from torch.nn import functional

    from spiketicket.machine.allocator import keep_freed_memory

    name, batch = case["contender"], case["batch"]
    keep_freed_memory()
    torch.manual_seed(0)
    x, y = torch.randn(batch, 3, 32, 32), torch.arange(batch) % CLASSES
    bf16 = name not in ("ours-fp32", "sj", "sj-compile")
    if name.startswith("pep"):
        pep = _network(name, STEPS).conv_pep

        def alone() -> None:
            with torch.autocast("cpu", torch.bfloat16):
                tokens = pep(x.unsqueeze(0), STEPS)
            tokens.float().sum().backward()

        return alone
    model, forward = _spikingjelly(name) if name.startswith("sj") else _ours(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = forward(x)
        loss = functional.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _ours(name: str) -> tuple[Any, Callable[[Any], Any]]:
    model = _network(name, STEPS).train()
    return model, model


def _spikingjelly(name: str) -> tuple[Any, Callable[[Any], Any]]:
    """SpikingJelly's Spikformer; its state is reset before every step, as its manual says."""
    import torch
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based.model.spikformer import Spikformer

    model = Spikformer(
        T=STEPS,
        in_channels=3,
        img_size_h=32,
        img_size_w=32,
        patch_size=4,
        num_classes=CLASSES,
        embed_dims=192,
        num_heads=3,
        mlp_ratio=4.0,
        depths=12,
    ).train()
    run = torch.compile(model) if "compile" in name else model

    def forward(x: Any) -> Any:
        functional.reset_net(model)
        return run(x).mean(0)

    return model, forward


if __name__ == "__main__":
    main()
