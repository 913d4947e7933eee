"""Take the pictures of docs/images: `pictures.py RUN OTHER`, two finished runs of `demo`.

Needs chromium and tmux. The live display is that of a run of `demo`, which this starts.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

FOLDER = Path(__file__).parent
TOWERMILL = Path(sys.executable).with_name("towermill")
#: Columns and lines of the terminal.
TERMINAL = (112, 14)
_PAGE = """<meta charset="utf-8">
<body style="background:{background};color:{foreground};font:15px/1.35 'DejaVu Sans Mono'">
<pre style="font:inherit;padding:0 1rem">{code}</pre>"""


def main(run: Path, other: Path) -> None:
    """Write every picture."""
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as scratch:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        shoot(browser, (run / "report.html").resolve().as_uri(), "report", 885)
        compared = Path(scratch, "compare.html")
        words = [TOWERMILL, "compare", run, other, "--html", compared]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        shoot(browser, compared.as_uri(), "compare", 820)
        with served(run / "bundle") as address:
            shoot(browser, f"{address}/#user=196", "serve", 900, "ol.list")
            shoot(browser, address, "start", 640, ".metrics")
        display = Path(scratch, "display.html")
        display.write_text(page_of(live_display(Path(scratch, "runs"))))
        shoot(browser, display.as_uri(), "display", 330)
        browser.close()


def shoot(browser: Browser, address: str, name: str, height: int, wait_for: str = "body") -> None:
    """Write the top of a page as ``<name>.png``."""
    page = browser.new_page(viewport={"width": 1200, "height": height})
    page.goto(address)
    page.wait_for_selector(wait_for)
    page.screenshot(path=FOLDER / f"{name}.png")
    page.close()


@contextmanager
def served(bundle: Path) -> Iterator[str]:
    """Serve a bundle meanwhile; give its address."""
    words = [TOWERMILL, "serve", bundle, "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            lines = iter(server.stderr.readline, "")
            found = (re.search(r"http://[\d.]+:\d+", line) for line in lines)
            yield next(match[0] for match in found if match)
        finally:
            server.terminate()


def live_display(out: Path) -> str:
    """Return the terminal of a run of `demo` while it trains, with its escape sequences."""
    columns, lines = map(str, TERMINAL)
    tmux = ["tmux", "-L", "pictures"]
    command = f"{TOWERMILL} run demo --out {out}"
    subprocess.run([*tmux, "new", "-d", "-x", columns, "-y", lines, command], check=True)
    try:
        for _ in range(600):
            time.sleep(0.5)
            words = [*tmux, "capture-pane", "-pe"]
            screen = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            if re.search(r"epoch [2-9]\d/", screen):
                return screen
        raise TimeoutError("The run came to no twentieth epoch.")
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def page_of(screen: str) -> str:
    """Return a terminal's screen as a page."""
    console = Console(record=True, width=TERMINAL[0], file=io.StringIO())
    console.print(Text.from_ansi(screen.rstrip()))
    return console.export_html(inline_styles=True, theme=SVG_EXPORT_THEME, code_format=_PAGE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
