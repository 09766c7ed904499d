"""Ticket search: one file a method, each with a ``Config`` and an ``attach``."""
