"""Take the pictures of docs/images from a finished run: `pictures.py RUN`, in headless Chromium."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent


def main(run: Path) -> None:
    """Write report.png from the top of a run's report."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 885})
        page.goto((run / "report.html").resolve().as_uri())
        page.screenshot(path=FOLDER / "report.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
