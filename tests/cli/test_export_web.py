"""``spiketicket export --to web``."""

import json
from pathlib import Path
from typing import Any

from spiketicket.ticket import zoo


def test_the_command_writes_a_page_and_refuses_what_it_would_ignore(
    spike: Any, tmp_path: Path
) -> None:
    ticket = str(zoo.find_ticket("digits-binw").path)
    made = json.loads(
        spike("export", ticket, "--to", "web", "-o", str(tmp_path / "a"), "--json").stdout
    )
    page = Path(made["files"][0])
    assert page == tmp_path / "a" / "index.html"
    assert made["bytes"] == page.stat().st_size < 300_000
    refused = spike("export", ticket, "--to", "web", "-o", str(tmp_path / "b"), "--sample", "a.bin")
    assert refused.exit_code == 2
    assert "classifies pictures" in refused.stderr
    refused = spike("export", ticket, "--to", "c", "-o", str(tmp_path / "b"), "--sample", "a.bin")
    assert refused.exit_code == 2
    assert "--to web only" in refused.stderr
    assert not (tmp_path / "b").exists()
