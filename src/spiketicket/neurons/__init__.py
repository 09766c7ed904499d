"""Neurons: one file each, the equation at the top, argument names as SpikingJelly's.

Every choice defines ``Config`` (its recipe section) and ``make(config, kernel)``, a module that
maps ``[T, B, ...]`` to ``[T, B, ...]``. State starts fresh in every forward.
"""
