"""The page in headless Chromium: by keyboard, in the dark, in a narrow window, with wild titles."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from circle import TITLES
from live import Live

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any, live: Live) -> Iterator[Callable[..., Any]]:
    """Open the page; what goes wrong in it, or is fetched from elsewhere, fails the test."""
    faults: list[str] = []
    contexts: list[Any] = []

    def begin(address: str = "/", url: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        origin = url or live.url
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda sent: None if sent.url.startswith(origin) else faults.append(sent.url),
        )
        page.goto(origin + address)
        return page

    begin.faults = faults  # type: ignore[attr-defined]
    yield begin
    for context in contexts:
        context.close()
    assert faults == []


def texts(page: Any, selector: str) -> list[str]:
    page.wait_for_selector(selector)
    found: list[str] = page.locator(selector).all_inner_texts()
    return found


def press_until(page: Any, selector: str) -> None:
    """Go by Tab until something is in focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.locator(selector).first.evaluate("node => node === document.activeElement"):
            return
    raise AssertionError(f"Tab never came to {selector}")


class TestStart:
    def test_metrics_beside_baselines_the_best_first(self, visit: Callable[..., Any]) -> None:
        page = visit()
        assert texts(page, ".metrics thead th") == ["ndcg@10", "recall@10"]
        rows = [row.split("\t") for row in texts(page, ".metrics tbody tr")]
        assert [[cell.strip() for cell in row] for row in rows] == [
            ["ease", "0.4000", "0.6000"],
            ["this bundle", "0.3000", "0.5000"],
            ["random", "0.0100", ""],
        ]
        assert "1,200 queries" in page.locator("#view").inner_text()


class TestLists:
    def test_bars_span_the_range_of_the_list(self, visit: Callable[..., Any]) -> None:
        page = visit("/#user=3")
        page.wait_for_selector(".bar")
        widths = page.locator(".bar").evaluate_all(
            "all => all.map(one => parseFloat(one.style.width))"
        )
        assert widths[0] == 100
        assert widths[-1] == 5
        assert widths == sorted(widths, reverse=True)

    def test_the_rest_of_a_long_history(
        self, visit: Callable[..., Any], live: Live, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(live.bundle), "seen", lambda self, row: np.arange(23))
        page = visit("/#user=3")
        assert len(texts(page, "ul.plain > li")) == 20
        page.get_by_role("button", name="Show 3 more").click()
        page.wait_for_selector("ul.plain > li:nth-child(23)")
        assert page.get_by_role("button", name="more").count() == 0


class TestByKeyboard:
    def test_user_to_recommendations_to_similar_and_back(self, visit: Callable[..., Any]) -> None:
        page = visit()
        page.wait_for_selector("#users a")
        press_until(page, "#user")
        page.keyboard.type("3")
        page.keyboard.press("Enter")
        recommended = texts(page, "ol.list .line a")
        numbers = (20, 19)
        assert recommended[:2] == [f"Film number {n}" for n in numbers]
        assert recommended[2] == TITLES[0]
        assert page.locator("h2:focus").inner_text() == "User 3"
        assert page.locator("#said").inner_text() == "10 recommendations for user 3."
        assert "Near Film number 21 and Film number 22" in page.locator(".why").first.inner_text()
        assert "Film number 23" in page.locator("ul.list").inner_text()
        assert "age 22" in page.locator(".facts").inner_text().replace("\n", " ")
        press_until(page, "ol.list .line a")
        page.keyboard.press("Enter")
        page.wait_for_selector("h3:text('Similar items')")
        assert page.locator("h2:focus").inner_text() == "Film number 20"
        assert texts(page, "ol.list .line a")[:2] == ["Film number 21", "Film number 19"]
        page.go_back()
        page.wait_for_selector("h2:text('User 3')")

    def test_sample_and_search(self, visit: Callable[..., Any]) -> None:
        page = visit()
        page.wait_for_selector("#users a")
        press_until(page, "#users a")
        page.keyboard.press("Enter")
        page.wait_for_selector("h2:text('User 1')")
        assert page.locator("#users a[aria-current]").count() == 1
        page.locator("#item").focus()
        page.keyboard.type("number 13")
        assert texts(page, "#items a")[0].startswith("Film number 13")
        assert page.locator("#items-note").inner_text() == "1 item."
        page.locator("#item").fill("no such")
        page.wait_for_selector("#items-note:text('No item found.')")

    def test_focus_is_seen(self, visit: Callable[..., Any]) -> None:
        page = visit()
        page.wait_for_selector("#users a")
        for selector in ("#user", "#user-form button", "#users a", "#item"):
            press_until(page, selector)
            width = page.locator(selector).first.evaluate("n => getComputedStyle(n).outlineWidth")
            assert width == "3px"

    def test_everything_has_a_name(self, visit: Callable[..., Any]) -> None:
        page = visit("/#user=3")
        page.wait_for_selector("ol.list")
        assert page.locator("h1").count() == page.locator("main").count() == 1
        for field in page.locator("input").all():
            assert page.locator(f"label[for={field.get_attribute('id')}]").count() == 1
        for thing in page.locator("a, button").all():
            assert thing.inner_text().strip() or thing.get_attribute("aria-label")
        assert page.locator("#said").get_attribute("role") == "status"


class TestLooks:
    @pytest.mark.parametrize("address", ["/", "/#user=3", "/#item=i1", "/docs"])
    def test_narrow(self, visit: Callable[..., Any], address: str) -> None:
        page = visit(address, viewport={"width": 360, "height": 740})
        page.wait_for_selector({"/": "#users a", "/docs": ".endpoint"}.get(address, "ol.list"))
        page.locator("#item").fill("film") if address != "/docs" else None
        page.wait_for_timeout(400)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_contrast(self, visit: Callable[..., Any], scheme: str) -> None:
        page = visit("/#user=3", color_scheme=scheme)
        page.wait_for_selector("ol.list")
        ground = brightness(page, "body", "backgroundColor")
        assert (ground < 0.05) == (scheme == "dark")
        for selector in (".line a", ".quiet", ".score", "dt", "label", "#served", "#said"):
            card = "body" if selector in ("#served", "#said") else ".card"
            pair = sorted(
                [brightness(page, selector, "color"), brightness(page, card, "backgroundColor")]
            )
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, selector
        pair = sorted(
            brightness(page, "button >> visible=true", name)
            for name in ("color", "backgroundColor")
        )
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5


class TestWildTitles:
    def test_stay_text(self, visit: Callable[..., Any]) -> None:
        page = visit("/#item=i1")
        page.wait_for_selector("ol.list")
        assert page.locator("h2:focus").inner_text() == TITLES[1]
        page.goto(page.url.replace("i1", "i0"))
        page.wait_for_selector("h2:text('Fargo')")
        assert TITLES[1] in texts(page, "ol.list .line a")
        page.locator("#item").fill("script")
        assert texts(page, "#items a")[0].startswith(TITLES[1])
        assert page.evaluate("() => window.broken") is None
        assert page.locator("main script, main img, #items img").count() == 0

    def test_ids_with_slashes(self, visit: Callable[..., Any]) -> None:
        page = visit()
        page.wait_for_selector("#users a")
        page.locator("#item").fill("with/slash ü")
        page.locator("#items a").first.click()
        page.wait_for_selector("h2:text('Film number 2')")
        assert texts(page, "ol.list .line a")[0] == "Film number 3"


class TestSaysWhatIsWrong:
    def test_strangers(self, visit: Callable[..., Any]) -> None:
        page = visit("/#user=nobody")
        page.wait_for_selector("#said:text('served as a new user')")
        assert page.locator("ol.list li").count() == 10
        visit.faults.clear()  # type: ignore[attr-defined]  # the 404 of their features

    def test_unknown_item(self, visit: Callable[..., Any]) -> None:
        page = visit("/#item=none")
        page.wait_for_selector("#said.wrong:text('There is no item')")
        visit.faults.clear()  # type: ignore[attr-defined]

    def test_key(self, visit: Callable[..., Any], serve: Callable[..., Live]) -> None:
        page = visit(url=serve(api_key="s3cret").url)
        page.wait_for_selector("#key-form:not([hidden])")
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#said.wrong:text('X-API-Key')")
        page.locator("#key").fill("s3cret")
        page.keyboard.press("Enter")
        page.wait_for_selector("#users a")
        assert page.locator("#key-form").is_hidden()
        assert not re.search("wrong", page.locator("#said").get_attribute("class") or "")
        visit.faults.clear()  # type: ignore[attr-defined]


def brightness(page: Any, selector: str, name: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    found = page.locator(selector).first.evaluate(f"node => getComputedStyle(node).{name}")
    parts = [int(part) / 255 for part in re.findall(r"\d+", found)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
