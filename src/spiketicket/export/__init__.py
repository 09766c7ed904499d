"""A ticket elsewhere: one file a format; each states what it cannot carry, and checks itself."""
