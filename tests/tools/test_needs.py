"""A test that needs a tool is skipped without it, or fails where the tool is required."""

from pathlib import Path
from typing import Any

import pytest

MISSING = {
    "arm": "needs arm-none-eabi-gcc: apt-get install gcc-arm",
    "browser": "needs chromium and chromedriver: apt-get install chromium",
}


@pytest.fixture
def conftest(request: pytest.FixtureRequest) -> Any:
    plugin = request.config.pluginmanager.get_plugin(str(Path(__file__).parents[1] / "conftest.py"))
    assert plugin
    return plugin


@pytest.fixture(params=sorted(MISSING))
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name of a tool that is not on the path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SPIKETICKET_REQUIRE", raising=False)
    return str(request.param)


def set_up(conftest: Any, node: Any, tool: str) -> None:
    node.add_marker(pytest.mark.needs(tool))
    conftest.pytest_runtest_setup(node)


def test_a_missing_tool_skips(conftest: Any, request: pytest.FixtureRequest, tool: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=MISSING[tool]):
        set_up(conftest, request.node, tool)


def test_a_missing_tool_that_is_required_fails(
    conftest: Any, request: pytest.FixtureRequest, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKETICKET_REQUIRE", f" {tool},")
    with pytest.raises(pytest.fail.Exception, match=f"{MISSING[tool]}.*; SPIKETICKET_REQUIRE has"):
        set_up(conftest, request.node, tool)


def test_a_package_of_python_is_looked_for_too(conftest: Any) -> None:
    assert conftest.Tool((), "no_such_module", "").missing().startswith("needs no_such_module: pip")
    assert conftest.Tool((("python3", "sh"),), "pytest", "").missing() == ""


def test_an_unknown_tool_is_named(conftest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKETICKET_REQUIRE", "arm, browzer")
    with pytest.raises(pytest.UsageError, match="no such tool: browzer"):
        conftest.pytest_configure()
