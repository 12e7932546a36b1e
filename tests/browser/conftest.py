"""One headless Chromium for all tests of this directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from xenapic.explorer.page import explorer_page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PROGRAMS = ("chromium", "chromedriver")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chrome]:
    """The browser; without Chromium the tests are skipped, except in CI."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    try:
        from selenium.webdriver import Chrome, ChromeOptions, ChromeService
    except ImportError:
        missing.append("selenium")
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{', '.join(missing)} not installed")
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    # Chromium drops changes of the address that come as quickly as a test makes them, without the last one.
    patient = "--disable-ipc-flooding-protection"
    for argument in ("--headless", "--disable-gpu", "--disable-dev-shm-usage", patient):
        options.add_argument(argument)
    if os.geteuid() == 0:  # Chromium's sandbox does not work for root
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, as a file."""
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(explorer_page(), encoding="utf-8")
    return path
