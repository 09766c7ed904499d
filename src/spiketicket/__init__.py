"""Find the winning lottery ticket inside a spiking neural network, prove it, and ship it."""

__version__ = "0.1.0"
