"""Ticket search: one file per method, each with a ``Config`` and an ``attach``."""
