"""The formats of event recordings: one file each, found by name."""
