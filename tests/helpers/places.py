"""Where things are in the checkout."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TESTS: Final = ROOT / "tests"
FILES: Final = TESTS / "files"
"""Small files of earlier versions."""
DOCS: Final = ROOT / "docs"
EXAMPLES: Final = ROOT / "examples"
