"""A real browser without a network, for pages that open from a file."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

BROWSER = "chromium-headless-shell"
needs_browser = pytest.mark.skipif(shutil.which(BROWSER) is None, reason=f"{BROWSER} is not installed")


@contextmanager
def open_page(
    path: Path, *, hash_: str = "", scheme: str = "light", checked: bool = True, before: str = ""
) -> Iterator[Page]:
    """A page from the disk, ready; on leaving, nothing was asked of a network or said to the console.

    `before` is a script that runs before the page's own.
    """
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=f"/usr/bin/{BROWSER}", args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": 1300, "height": 900}, color_scheme=scheme, offline=True
        )
        page, said, asked = context.new_page(), [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.add_init_script(before)
        page.goto(path.resolve().as_uri() + hash_)
        page.wait_for_selector("html[data-ready]", timeout=20_000)
        try:
            yield page
        finally:
            browser.close()
    if checked:
        assert said == []
        assert [url for url in asked if not url.startswith("file:")] == []
