"""The display of a run's stages, on a terminal that is a string."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from towermill import progress as module
from towermill.progress import draw, progress, stages

logger = logging.getLogger("towermill.somewhere")


def terminal(shown: bool = True) -> Console:
    return Console(file=io.StringIO(), force_terminal=shown, width=80, color_system=None)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    made = terminal()
    monkeypatch.setattr(module, "_console", lambda: made)
    yield made
    draw(True)


class TestStages:
    def test_what_is_done_runs_and_waits(self, console: Console) -> None:
        with stages(["prepare", "train", "export"], ["prepare"]) as board:
            with board.running("train"):
                logger.info("train: epoch 1 of 2")
                found = self.lines(board)
            after = self.lines(board)
        assert found[0] == "✓ prepare  done before"
        assert found[1].startswith("▸ train    0 s  epoch 1 of 2")
        assert found[2] == "· export"
        assert after[1].startswith("✓ train    0.")
        assert text(console).rstrip().endswith("· export")

    def lines(self, board: Any) -> list[str]:
        made = terminal()
        made.print(board.render())
        return [line.rstrip() for line in text(made).splitlines()]

    def test_warnings_and_summaries_stay(self, console: Console) -> None:
        with stages(["train"], []) as board, board.running("train"):
            logger.warning("most rows were [dropped]")
            logger.info("two\nlines")
        assert "most rows were [dropped]" in text(console)
        assert "two" in text(console)

    def test_bars_are_below(self, console: Console) -> None:
        with stages(["train"], []) as board, board.running("train"), progress() as bars:
            bars.add_task("epoch 1", total=10, completed=4)
            display = module._Display.active
            assert display is not None
            made = terminal()
            made.print(display.render())
        lines = text(made).splitlines()
        assert lines[0].startswith("▸ train")
        assert "epoch 1" in lines[1]
        assert "4/10" in lines[1]

    def test_the_logger_is_as_before(self, console: Console) -> None:
        top = logging.getLogger("towermill")
        before = top.level, top.propagate, list(top.handlers)
        with pytest.raises(ValueError, match="stop"), stages(["train"], []):
            raise ValueError("stop")
        assert (top.level, top.propagate, top.handlers) == before
        assert module._Display.active is None


class TestSilent:
    @pytest.mark.parametrize("why", ["asked", "drawn", "no terminal"])
    def test_nothing_is_drawn(self, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
        made = terminal(shown=why != "no terminal")
        monkeypatch.setattr(module, "_console", lambda: made)
        draw(why != "drawn")
        try:
            with stages(["train"], [], show=why != "asked") as board, board.running("train"):
                assert progress().disable
        finally:
            draw(True)
        assert text(made) == ""

    def test_a_bar_without_a_terminal(self) -> None:
        assert progress().disable
