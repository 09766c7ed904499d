"""Time and memory of one ticket-search step of a spiking VGG-9, beside what a user has today.

    python benchmarks/search_step.py [--rounds 7] [--growth] [--output results/search_step.jsonl]

Timed in turns, as turns.py says.

Contenders (VGG-9, T=4, batch 64, 32x32, binary weights, density 0.5, Adam on the scores):
    ours            the shipped path: bf16, fused native kernel, one mask per step
    ours-fp32       the same in float32
    ours-eager      our definition of the neuron in plain torch, bf16
    sj              SpikingJelly LIFNode, multi-step, eager, float32; masks by full sort in every
                    layer call, as the reference code of biprop does
    sj-bf16         the same under bf16 autocast and with our allocator settings
    sj-compile      sj under torch.compile with our allocator settings
    sj-compile-bf16 the same under bf16 autocast
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turns import take_turns

BATCH, DENSITY = 64, 0.5
CONTENDERS = (
    "ours",
    "ours-fp32",
    "ours-eager",
    "sj",
    "sj-bf16",
    "sj-compile",
    "sj-compile-bf16",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--growth", action="store_true", help="also vary T and width")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows = race(options.contenders, options.rounds, options.threads)
    rows.append(limit(options.threads))
    if options.growth:
        rows += growth(options.rounds, options.threads)
    for row in rows:
        print(json.dumps(row))
    print(table(rows))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def race(names: list[str], rounds: int, threads: int) -> list[dict[str, Any]]:
    """One row per contender, timed in turns."""
    cases = [{"contender": name, "timesteps": 4, "width": 1.0} for name in names]
    timed = take_turns(_make, cases, rounds, threads)
    ours = next((t for c, t in zip(cases, timed, strict=True) if c["contender"] == "ours"), None)
    rows = []
    for case, result in zip(cases, timed, strict=True):
        row = summary("race", case, result, threads)
        if ours is not None and "error" not in result and "error" not in ours:
            pairs = zip(result["seconds"], ours["seconds"], strict=True)
            row["times_ours"] = round(statistics.median(a / b for a, b in pairs), 2)
        rows.append(row)
    return rows


def limit(threads: int) -> dict[str, Any]:
    """What bf16 matrix products alone would take here: a floor for any bf16 implementation."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.randn(2048, 2048).bfloat16(), torch.randn(2048, 2048).bfloat16()
    times = []
    for _ in range(100):
        started = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - started)
    rate = 2048**3 / min(times)
    # Every layer at every timestep, forward and two backward products. The first convolution
    # runs once in truth: that makes this floor 1 % too high.
    macs = 3 * (4 * 153.9e6)
    return {
        "benchmark": "search_step",
        "kind": "limit",
        "threads": threads,
        "timesteps": 4,
        "contender": "bf16 products alone",
        "width": 1.0,
        "gmac_per_s": round(rate / 1e9, 1),
        "ms_per_image": round(1000 * macs / rate, 2),
        "peak_mib": 0,
    }


def growth(rounds: int, threads: int) -> list[dict[str, Any]]:
    """Our step against T and width."""
    sizes = [(t, 1.0) for t in (1, 2, 4, 8)] + [(4, 2.0)]
    cases = [{"contender": "ours", "timesteps": t, "width": w} for t, w in sizes]
    timed = take_turns(_make, cases, rounds, threads)
    return [summary("growth", c, t, threads) for c, t in zip(cases, timed, strict=True)]


def summary(
    kind: str, case: dict[str, Any], result: dict[str, Any], threads: int
) -> dict[str, Any]:
    """One line of results."""
    row = {"benchmark": "search_step", "kind": kind, "batch": BATCH, "threads": threads, **case}
    if "error" in result:
        return {**row, "error": result["error"]}
    per_image = [1000 * s / BATCH for s in result["seconds"]]
    return {
        **row,
        **result["machine"],
        "ms_per_image": round(statistics.median(per_image), 3),
        "ms_per_image_min": round(min(per_image), 3),
        "ms_per_image_max": round(max(per_image), 3),
        "rounds": len(per_image),
        "peak_mib": round(result["peak_mib"]),
        "first_step_s": round(result["first_step_s"], 2),
    }


def _make(case: dict[str, Any]) -> Callable[[], None]:
    import torch

    from spiketicket.machine.allocator import keep_freed_memory

    name = case["contender"]
    if name != "sj":
        keep_freed_memory()
    bf16 = name in ("ours", "ours-eager") or name.endswith("bf16")
    x = torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    y = torch.arange(BATCH) % 10
    if name.startswith("ours"):
        model, parameters, after = _ours(case, "eager" if "eager" in name else "native")
    else:
        model, parameters, after = _spikingjelly(case, compiled="compile" in name)
    optimizer = torch.optim.Adam(parameters, lr=0.02, fused=name != "sj")

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(x)
        loss = torch.nn.functional.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after()

    return step


def _ours(case: dict[str, Any], kernel: Any) -> tuple[Any, list[Any], Callable[[], None]]:
    from spiketicket.methods import edge_popup
    from spiketicket.models import vgg9
    from spiketicket.models.blocks import DataShape
    from spiketicket.neurons import lif

    config = vgg9.Config(timesteps=case["timesteps"], width=case["width"])
    model = vgg9.build(
        config,
        lif.Config(decay=0.5),
        DataShape(channels=3, height=32, width=32, classes=10),
        kernel,
    )
    search = edge_popup.attach(
        model, edge_popup.Config(density=DENSITY), binary=True, seed=0, epochs=1
    )
    return model, search.parameters(), lambda: search.on_step_end(1.0)


def _spikingjelly(  # noqa: C901  one self-contained peer
    case: dict[str, Any], *, compiled: bool
) -> tuple[Any, list[Any], Callable[[], None]]:
    """VGG-9 as SpikingJelly's documentation builds nets, with biprop's masked layers."""
    import torch
    from spikingjelly.activation_based import functional, layer, neuron, surrogate
    from torch import Tensor, nn

    class Subnet(torch.autograd.Function):
        """biprop's GetSubnet: a full sort of the scores in every forward."""

        @staticmethod
        def forward(ctx: Any, scores: Tensor) -> Tensor:
            out = scores.clone()
            _, order = scores.flatten().sort()
            removed = int((1 - DENSITY) * scores.numel())
            flat = out.flatten()
            flat[order[:removed]] = 0
            flat[order[removed:]] = 1
            return flat.view(scores.shape)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            return grads[0]

    def weight_of(module: Any) -> Tensor:
        mask = Subnet.apply(module.scores.abs())
        alpha = (module.weight.abs() * mask).sum().detach() / mask.sum().detach()
        return alpha * module.weight.sign() * mask

    class MaskedConv(nn.Conv2d):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.weight.requires_grad_(False)
            self.scores = nn.Parameter(torch.randn_like(self.weight) * 0.01)

        def forward(self, x: Tensor) -> Tensor:
            return self._conv_forward(x, weight_of(self), None)

    class MaskedLinear(nn.Linear):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.weight.requires_grad_(False)
            self.scores = nn.Parameter(torch.randn_like(self.weight) * 0.01)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, weight_of(self))

    def fire() -> nn.Module:
        return neuron.LIFNode(
            tau=2.0,
            decay_input=False,
            surrogate_function=surrogate.Sigmoid(4.0),
            detach_reset=True,
            step_mode="m",
        )

    parts: list[nn.Module] = []
    channels = 3
    for width, pool in ((64, 0), (64, 1), (128, 0), (128, 1), (256, 0), (256, 1)):
        conv = MaskedConv(channels, width, 3, padding=1, bias=False)
        parts += [layer.SeqToANNContainer(conv, nn.BatchNorm2d(width, affine=False)), fire()]
        if pool:
            parts.append(layer.SeqToANNContainer(nn.MaxPool2d(2)))
        channels = width
    parts.append(nn.Flatten(2))
    for inputs, outputs in ((4096, 256), (256, 256)):
        linear = MaskedLinear(inputs, outputs, bias=False)
        parts += [layer.SeqToANNContainer(linear, nn.BatchNorm1d(outputs, affine=False)), fire()]
    parts.append(layer.SeqToANNContainer(MaskedLinear(256, 10, bias=False)))
    net = nn.Sequential(*parts)
    parameters = [p for p in net.parameters() if p.requires_grad]
    timesteps = case["timesteps"]

    def forward(x: Tensor) -> Tensor:
        return net(x.unsqueeze(0).repeat(timesteps, 1, 1, 1, 1)).mean(0)

    run = torch.compile(forward) if compiled else forward
    return run, parameters, lambda: functional.reset_net(net)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for a person."""
    head = f"{'contender':18}{'T':>3}{'width':>7}{'ms/image':>10}{'x ours':>8}{'peak MiB':>10}"
    lines = [head]
    for row in rows:
        start = f"{row['contender']:18}{row['timesteps']:>3}{row['width']:>7}"
        if "error" in row:
            lines.append(f"{start}  {row['error']}")
        else:
            times = f"{row.get('times_ours', '')!s:>8}"
            lines.append(f"{start}{row['ms_per_image']:>10.2f}{times}{row['peak_mib']:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
