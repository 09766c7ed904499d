"""Debian's Chromium without a window, for tests of pages."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

TOO_WIDE = """
const wide = document.documentElement.clientWidth;
const scrolls = (element) => element.parentElement && element.parentElement.closest(".scroll, pre");
return [...document.body.querySelectorAll("*")]
  .filter((element) => !scrolls(element) && element.id !== "tip")
  .filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > wide + 1 || box.left < -1);
  })
  .map((element) => `${element.tagName} ${element.className.baseVal || element.className} `
    + `${element.textContent.slice(0, 60)}`);
"""


@contextlib.contextmanager
def open_chromium(profile: Path) -> Iterator[Any]:
    """A driver whose logs have the console and the network; ``profile`` is an empty folder."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    os.environ["SE_OFFLINE"] = "true"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def show(browser: Any, page: Path, width: int, scheme: str = "light") -> None:
    """Open a page in a window as wide, in a colour scheme, with all its details open."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")


def requests_of(browser: Any) -> list[str]:
    """What pages asked for since the log was read, but for files and data."""
    return [
        line["message"]
        for line in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in line["message"]
        and '"url":"file:' not in line["message"]
        and '"url":"data:' not in line["message"]
        # The browser's own first tab, which may still be loading.
        and '"documentURL":"chrome' not in line["message"]
    ]
