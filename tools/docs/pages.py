"""Write the pages of two tickets that the documentation's site links to, or their picture.

python tools/docs/pages.py DOCS            DOCS/pages/digits and DOCS/pages/nmnist
python tools/docs/pages.py DOCS --picture  DOCS/page.png too, by Chromium
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from spiketicket.export.web import export_web
from spiketicket.ticket import Ticket

SAMPLE = Path(__file__).resolve().parents[2] / "docs" / "nmnist-60004.bin"
NOTE = "The recording is the first of N-MNIST-1k's test set (Orchard et al. 2015), CC BY-SA 4.0."
COLOURS = 64


def write_pages(docs: Path) -> Path:
    """Write both pages below a folder; that of N-MNIST is the answer."""
    export_web(Ticket.load("digits-binw"), docs / "pages" / "digits", "digits-binw")
    ticket = Ticket.load("nmnist1k-vgg")
    return export_web(ticket, docs / "pages" / "nmnist", "nmnist1k-vgg", SAMPLE, NOTE).path


def write_picture(page: Path, to: Path) -> None:
    """A page as a small PNG."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("needs chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--user-data-dir={folder}/profile", "--virtual-time-budget=5000"]
        options += ["--window-size=1000,900", f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run([browser, *options], check=True, capture_output=True)
        with Image.open(shot) as image:
            image.convert("RGB").quantize(COLOURS).save(to, optimize=True)


if __name__ == "__main__":
    docs = Path(sys.argv[1])
    page = write_pages(docs)
    if "--picture" in sys.argv[2:]:
        write_picture(page, docs / "page.png")
