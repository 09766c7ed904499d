"""Ticket search: one file per method, each with a ``Config``, ``stages`` and ``prepare``."""
