"""Writes random small programs as the fuzzer's first corpus: ``write_corpus.py FOLDER [COUNT]``."""

import importlib.util
import sys
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests" / "engine" / "random_programs.py"


def main(folder, count=400):
    """Write the programs of the first seeds that are small enough to mutate."""
    spec = importlib.util.spec_from_file_location("random_programs", TESTS)
    programs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(programs)
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(int(count)):
        content = programs.make(seed)[0].to_bytes()
        if len(content) < 4096:
            (out / f"{seed:04}").write_bytes(bytes([seed * 37 % 256]) + content)


if __name__ == "__main__":
    main(*sys.argv[1:])
