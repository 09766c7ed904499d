"""``python -m spiketicket``: the command line."""

from spiketicket.cli import main

main()
