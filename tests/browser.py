"""The system's Chromium under Playwright, for tests of the web page. Knows no page and starts no server.

Playwright's own browsers are not used: what the system's packages bring is enough, and nothing has to be downloaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox, because tests often run as root in a container; the rest keeps the browser from talking to anyone.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_TIMEOUT_MS = 60_000


def find_chromium() -> str | None:
    """Path of a Chromium: what PARLEY_CHROMIUM names, else the first of NAMES in PATH; None when there is none.

    Raises FileNotFoundError when PARLEY_CHROMIUM names nothing that can be run: a wish must not turn into a skip.
    """
    wished = os.environ.get("PARLEY_CHROMIUM")
    if wished:
        found = shutil.which(wished)
        if found is None:
            raise FileNotFoundError(f"PARLEY_CHROMIUM is {wished!r}, which is no program: correct or unset it")
        return found
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running headless Chromium; skips the test that asks for it when there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} in PATH and PARLEY_CHROMIUM is unset; install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS), timeout=START_TIMEOUT_MS)
        try:
            yield browser
        finally:
            browser.close()
