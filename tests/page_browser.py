"""Pages in a real browser, with what goes wrong there."""

import os
import shutil
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request, expect
from waiting import HANG

expect.set_options(timeout=1000 * HANG)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def launched(playwright: Playwright) -> Browser:
    """The system's Chromium."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        reason = f"none of {', '.join(BROWSERS)} is there: make browser installs one"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])


@dataclass
class Watched:
    """A browser's pages, with what they asked for and complained of."""

    browser: Browser
    contexts: list[BrowserContext] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, address: str, **options: Any) -> Page:
        """The page at an address, when it knows who answers; `options` as `Browser.new_context` takes them."""
        context = self.browser.new_context(**options)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * HANG)
        page.on("request", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.goto(address)
        return page

    def close(self) -> None:
        """Closes them. Raises AssertionError where one asked elsewhere than its server, or complained."""
        origins = {
            f"{context.pages[0].url.split('/')[0]}//{context.pages[0].url.split('/')[2]}" for context in self.contexts
        }
        for context in self.contexts:
            context.close()
        local = (*(f"{origin}/" for origin in origins), "blob:")
        assert [url for url in self.requests if not url.startswith(local)] == []
        # Chromium writes one for each answer that is an error; the page itself says those in its own words.
        assert [said for said in self.complaints if not said.startswith("Failed to load resource")] == []

    def _note(self, request: Request) -> None:
        self.requests.append(request.url)
