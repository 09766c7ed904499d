"""Ticket search: one file per method, each with a ``Config`` and ``plans``, or ``attach``."""
