"""The page in a real browser: no error, no request, nothing wider than the screen."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import TOO_WIDE, open_chromium, requests_of, show

from spiketicket.report.writing import write_report

MakeRun = Callable[..., Path]
pytestmark = [pytest.mark.slow, pytest.mark.needs("browser")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, make_lasting_run: MakeRun) -> Path:
    make_run = make_lasting_run
    runs = [
        make_run(
            name="a-name-that-is-as-long-as-a-name-of-a-run-may-well-be", ladder=True, seeds=3
        ),
        make_run(name="low", change={"ticket.density": 0.05}, shift=-9),
        make_run(name="middle", change={"ticket.density": 0.2}, events=True, shift=-4),
        make_run(name="high", change={"ticket.density": 0.7}),
        make_run(name="bare", measured=False, finished=False),
    ]
    output = tmp_path_factory.mktemp("page") / "report.html"
    write_report(runs, output)
    return output


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_screen_and_nothing_complains(
    browser: Any, page: Path, width: int, scheme: str
) -> None:
    browser.get_log("performance")
    show(browser, page, width, scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(TOO_WIDE) == []
    assert browser.get_log("browser") == []
    assert requests_of(browser) == []


def column(browser: Any, name: str) -> list[str]:
    return list(
        browser.execute_script(
            """
        const table = document.querySelector("table");
        const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent);
        const index = heads.findIndex((head) => head.replace(/\\s+/g, " ") === arguments[0]);
        return [...table.tBodies[0].rows].map((row) => row.cells[index].textContent);
        """,
            name,
        )
    )


def click(browser: Any, name: str) -> None:
    browser.execute_script(
        """
        const buttons = [...document.querySelector("table").tHead.querySelectorAll("button")];
        buttons.find((b) => b.textContent.replace(/\\s+/g, " ") === arguments[0]).click();
        """,
        name,
    )


def test_tables_sort_by_value_both_ways(browser: Any, page: Path) -> None:
    show(browser, page, 1400)
    before = column(browser, "ticket %")
    click(browser, "ticket %")
    rising = column(browser, "ticket %")
    assert [float(v) for v in rising] == sorted(float(v) for v in before)
    assert rising != before
    click(browser, "ticket %")
    assert column(browser, "ticket %") == rising[::-1]
    click(browser, "difference, points")
    signed = [v.replace("−", "-") for v in column(browser, "difference, points")]
    known = [float(v) for v in signed if v != "–"]
    assert known == sorted(known)
    assert signed[-1] == "–"
    click(browser, "run")
    assert column(browser, "run") == sorted(column(browser, "run"))


def test_values_show_under_the_pointer(browser: Any, page: Path) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    show(browser, page, 1400)
    point = browser.find_element(By.CSS_SELECTOR, ".figures svg circle")
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", point
    )
    ActionChains(browser).move_to_element(point).perform()
    tip = browser.find_element(By.ID, "tip")
    assert tip.is_displayed()
    assert "at 0." in tip.text


def test_what_rests_under_the_pointer_is_told_after_the_page_has_moved(
    browser: Any, page: Path
) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    show(browser, page, 1400)
    point = browser.find_element(By.CSS_SELECTOR, ".figures svg circle")
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", point
    )
    ActionChains(browser).move_to_element(point).perform()
    tip = browser.find_element(By.ID, "tip")
    # a scroll that moves nothing comes after the pointer, as it does on a slow machine
    browser.execute_script("document.dispatchEvent(new Event('scroll'))")
    assert tip.is_displayed()
    browser.execute_script("scrollTo({top: 0, behavior: 'instant'})")
    gone = "return !document.getElementById('tip').textContent.includes('at 0.') || tip.hidden"
    assert browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() =>"
        f" done((() => {{ {gone} }})())))"
    )


UNNAMED = """
const named = (e) => e.getAttribute("aria-label") || e.textContent.trim();
return [...document.querySelectorAll("a, button, summary, [role=region], svg[role=img]")]
  .filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 80));
"""
NO_LABEL = """
const names = [...document.querySelectorAll(".files > *")].map((e) => e.getAttribute("aria-label"));
return names.filter((name) => !name);
"""
LEVELS = "return [...document.querySelectorAll('h1, h2, h3, h4')].map((e) => Number(e.tagName[1]))"


def test_a_screen_reader_finds_its_way(browser: Any, page: Path) -> None:
    show(browser, page, 1400)
    assert browser.execute_script("return document.querySelectorAll('main').length") == 1
    levels = browser.execute_script(LEVELS)
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert browser.execute_script(UNNAMED) == []
    assert browser.execute_script(NO_LABEL) == []
    rows = "return [...document.querySelectorAll('tbody tr')].map((e) => e.cells[0].scope)"
    assert set(browser.execute_script(rows)) == {"row"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_keyboard_reaches_all_and_shows_where_it_is(
    browser: Any, page: Path, scheme: str
) -> None:
    from selenium.webdriver import ActionChains, Keys

    show(browser, page, 1400, scheme)
    reached = []
    for _ in range(12):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        here = "const e = document.activeElement; return [e.tagName, getComputedStyle(e).outline]"
        tag, outline = browser.execute_script(here)
        reached.append(tag)
        assert "solid" in outline, (tag, outline)
    assert {"DIV", "BUTTON"} <= set(reached)
    browser.execute_script("document.querySelector('th button').focus()")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert browser.execute_script("return document.querySelector('th').ariaSort") == "ascending"


def test_a_link_opens_its_run(browser: Any, page: Path) -> None:
    browser.get(page.as_uri() + "#run-3")
    opened = "return [...document.querySelectorAll('details.run')].map((d) => d.open)"
    assert browser.execute_script(opened)[2]


def test_a_figure_is_saved_with_its_colours(browser: Any, page: Path, tmp_path: Path) -> None:
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path / "saved")}
    browser.execute_cdp_cmd("Page.setDownloadBehavior", behaviour)
    show(browser, page, 1400)
    browser.execute_script("document.querySelector('.files button').click()")
    for _ in range(100):
        saved = list((tmp_path / "saved").glob("*.svg"))
        if saved:
            break
        browser.execute_async_script("setTimeout(arguments[0], 50)")
    drawn = saved[0].read_text()
    assert drawn.startswith("<svg")
    assert "#0a6c8f" in drawn
    assert "var(" not in drawn


def test_the_page_works_without_its_script(browser: Any, page: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.as_uri())
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    from selenium.webdriver.common.by import By

    assert len(browser.find_elements(By.CSS_SELECTOR, ".verdict .say")) >= 1
    assert browser.find_elements(By.CSS_SELECTOR, "th button") == []
    assert len(browser.find_elements(By.CSS_SELECTOR, "svg title")) > 20
