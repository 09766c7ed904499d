"""Is never imported: edited files name it, and naming a module in a file must not import it."""


def called(*_: object, **__: object) -> None:
    """Is never called."""
    raise SystemExit("a function that a file names was called")
