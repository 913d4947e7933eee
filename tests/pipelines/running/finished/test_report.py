"""The report of a run: complete, self-contained, escaped, and looked at in headless Chromium."""

from __future__ import annotations

import json
import logging
import re
import shutil
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from towermill.errors import DataError
from towermill.pipelines import run
from towermill.pipelines.bundle.tables import IdTable
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.running.report import charts, write
from towermill.pipelines.running.report.write import render, write_report

WILD = "<script>document.title = 'hit'</script>$x$ & 'quotes' \"too\""


@pytest.fixture(scope="module")
def page(trained: Any) -> str:
    text: str = (trained.latest / "report.html").read_text()
    return text


class TestContent:
    def test_deciding_metric_comes_first_with_its_interval(self, trained: Any, page: str) -> None:
        metrics = json.loads((trained.latest / "evaluate" / "metrics.json").read_text())
        value = f"{metrics['metrics']['ndcg@5']:.4f}"
        assert re.search(r"<dd>([^<]*)</dd>", page)[1] == value  # type: ignore[index]
        low, high = re.search(r"interval</dt><dd>(\S+) to (\S+)<", page).groups()  # type: ignore[union-attr]
        assert low < value < high

    def test_has_every_section(self, page: str) -> None:
        found = re.findall(r'<section id="(\w+)"', page)
        assert found == ["metrics", "data", "training", "items", "users", "run"]
        assert page.count('<div class="user">') == 10
        for part in ("by the user&#39;s training rows", "by item popularity", "over time"):
            assert part in page

    def test_names_stages_and_why_they_ran(self, trained: Any, page: str) -> None:
        for name, folder in trained.stages.items():
            assert f"<th>{name}</th>" in page
            assert folder.name in page
        assert "prepare runs" in page

    def test_needs_no_network(self, page: str) -> None:
        assert re.findall(r'(?:src|href)="(?!#)[^"]*"', page) == []
        assert "@import" not in page
        assert len(page) < 1_000_000

    def test_ids_are_unique(self, page: str) -> None:
        found = re.findall(r'\bid="([^"]+)"', page)
        assert len(found) == len(set(found))

    def test_of_impressions(self, news: Any) -> None:
        text = (news.latest / "report.html").read_text()
        found = re.findall(r'<section id="(\w+)"', text)
        assert found == ["metrics", "data", "training", "items", "users", "run"]
        assert "auc on the test split" in text
        assert "auc by history length" in text

    def test_is_the_same_twice(self, trained: Any) -> None:
        files = RunFiles.of(trained.latest)
        assert render(files) == render(files)


class TestWriting:
    def test_values_are_escaped(self, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        real = IdTable.rows

        def wild(self: IdTable, rows: Any) -> list[dict[str, Any]]:
            return [
                {name: WILD if name in ("title", "category") else v for name, v in row.items()}
                for row in real(self, rows)
            ]

        monkeypatch.setattr(IdTable, "rows", wild)
        text = render(RunFiles.of(trained.latest))
        assert "&lt;script&gt;document" in text
        assert "<script>document" not in text

    def test_a_section_that_fails_is_left_out(
        self, trained: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: Any) -> None:
            raise ValueError("on purpose")

        monkeypatch.setattr("towermill.pipelines.running.report.items.item_map", fail)
        text = render(RunFiles.of(trained.latest))
        assert '<section id="items"' not in text
        assert '<section id="users"' in text
        assert "no section 'map' (ValueError: on purpose)" in caplog.text

    def test_a_report_that_fails_does_not_fail_the_run(
        self, fakes: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        steps = run(fakes.recipe, tmp_path)
        assert len(steps) == 5
        said = [r.message for r in caplog.records if r.levelno == logging.WARNING]
        assert len(said) == 1
        assert "No report was written" in said[0]
        assert "`towermill report " in said[0]

    def test_is_kept_while_nothing_runs(
        self, trained: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(write, "render", lambda run: pytest.fail("it was written again"))
        run(trained.recipe, trained.out)

    def test_of_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"Expected a finished run .* no prepare, process"):
            write_report(RunFiles.of(tmp_path))

    def test_command_writes_it_again(
        self, trained: Any, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(trained.out, tmp_path / "runs", symlinks=True)
        latest = tmp_path / "runs" / trained.recipe.name / "latest"
        before = (latest / "report.html").read_text()
        (latest / "report.html").unlink()
        opened: list[str] = []
        monkeypatch.setattr(webbrowser, "open", opened.append)
        said = cli("report", latest, "--open")
        assert said.code == 0, said.err
        assert opened == [(latest / "report.html").resolve().as_uri()]
        assert Path(said.out.strip()).read_text() == before


class TestCharts:
    @pytest.mark.parametrize("counts", [[5], [0, 0, 0], [1, 1], [3, 2, 1, 0], [10**6, 1]])
    def test_any_counts(self, counts: list[int]) -> None:
        assert charts.histogram(np.array(counts), "rows", "users").startswith("<svg")
        if sum(counts):
            assert charts.long_tail(np.array(counts), "rows").startswith("<svg")

    def test_text_is_escaped_and_plain(self) -> None:
        found = charts.bars({WILD: 0.5, "model": 0.4}, {}, "model")
        assert "<script>" not in found
        assert "$x$" in found


playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
class TestInChromium:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1400, 420])
    def test_fits_and_loads_nothing(
        self, browser: Any, trained: Any, scheme: str, width: int
    ) -> None:
        address = (trained.latest / "report.html").resolve().as_uri()
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page, faults, sent = context.new_page(), [], []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text))
        page.on("request", lambda request: sent.append(request.url))
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        dot = page.locator(".map circle").last
        dot.scroll_into_view_if_needed()
        dot.hover(force=True)
        assert page.locator("#tip").inner_text()
        button = page.locator(".legend button").first
        button.click()
        assert page.locator(".map circle.dim").count() > 0
        button.click()
        assert page.locator(".map circle.dim").count() == 0
        context.close()
        assert faults == []
        assert sent == [address]
