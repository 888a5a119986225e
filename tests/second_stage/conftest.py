"""A real browser: Chromium of the system, found on PATH or named by CMD_SPEAKER_CHROMIUM."""

import os
import shutil

import pytest

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def launch():
    """A function `(*switches) -> browser`."""
    path = os.environ.get("CMD_SPEAKER_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no browser: install Chromium, or name it in CMD_SPEAKER_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browsers = []

        def start(*switches):
            browsers.append(playwright.chromium.launch(executable_path=path, args=[*QUIET, *switches]))
            return browsers[-1]

        yield start
        for browser in browsers:
            browser.close()
