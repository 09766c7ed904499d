"""An example for the help of every command."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "init": "spiketicket init --images pictures -o mine.toml",
    "find": "spiketicket find digits-binw --seeds 3 --set ticket.density=0.2",
    "show": "spiketicket show runs/digits-binw-*",
    "report": "spiketicket report runs/* -o report.html",
    "recipe explain": "spiketicket recipe explain train.warmup",
    "train": "spiketicket train digits-binw --set train.epochs=10",
    "sweep": "spiketicket sweep digits-binw --axis ticket.density=0.5,0.2,0.1 --dry-run",
    "compare": "spiketicket compare digits-binw --methods edge_popup,imp,snip --density 0.5,0.2",
    "reproduce": "spiketicket reproduce fig2 --scale small",
    "eval": "spiketicket eval my.ticket --root data",
    "measure": "spiketicket measure my.ticket runs/digits-binw-*",
    "bench": "spiketicket bench my.ticket --batch 1,64",
    "verify": "spiketicket verify my.ticket",
    "run": "spiketicket run my.ticket picture.png folder --top 3",
    "export": "spiketicket export my.ticket --to c -o firmware",
    "pack": "spiketicket pack old.ticket -o small.ticket",
    "zoo list": "spiketicket zoo list",
    "zoo path": "spiketicket zoo path digits-binw",
    "zoo pull": "spiketicket zoo pull user/name -o folder",
    "zoo eval": "spiketicket zoo eval digits-binw",
    "data list": "spiketicket data list",
    "data check": "spiketicket data check image_folder --root pictures",
    "data view": "spiketicket data view recording.dat -o recording.svg",
    "data get": "spiketicket data get cifar10 --root data",
    "completion": "spiketicket completion fish > ~/.config/fish/completions/spiketicket.fish",
    "version": "spiketicket version --verbose",
}
"""Command -> how it is called."""
