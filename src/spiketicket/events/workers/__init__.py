"""Readers that run in a process of their own, see :mod:`spiketicket.events.apart`; one per file.

Each has ``parts(path, asked)``, which yields a JSON text first and then what it is of.
"""
