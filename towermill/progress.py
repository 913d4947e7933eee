"""What a person sees while something runs: bars, and around them the stages of a run.

All of it is on standard error, cleared when done, and off without a terminal or a notebook.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


def progress(*columns: ProgressColumn) -> Progress:
    """Return a progress display: each task's description, bar, count and time left, then `columns`.

    Within `stages` it is drawn below them.
    """
    shown = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        *columns,
    )
    if _Display.active is not None:
        return _Below(*shown, console=_Display.active.console, auto_refresh=False)
    console = Console(stderr=True)
    return Progress(*shown, console=console, transient=True, disable=not _is_seen(console))


def draw(shown: bool) -> None:
    """Draw bars and stages in this process from now on, or do not.

    Examples
    --------
    >>> draw(True)
    """
    _Display.drawn = shown


@contextlib.contextmanager
def stages(names: Sequence[str], done: Sequence[str], *, show: bool = True) -> Iterator[Board]:
    """Show the stages of a run: which are done, which runs, and its last message.

    Meanwhile Towermill's messages of level INFO are shown beside the running stage, one at a time;
    warnings, and messages of several lines, stay above.

    Parameters
    ----------
    names
        All stages, in order.
    done
        Those that need not run.
    show
        False draws nothing.

    Examples
    --------
    >>> with stages(["prepare", "train"], done=["prepare"]) as board:
    ...     with board.running("train"):
    ...         pass
    """
    board = Board(dict.fromkeys(names, ""), dict.fromkeys(done, "done before"))
    logger = logging.getLogger("towermill")
    console = _console()
    if not show or not _is_seen(console):
        yield board
        return
    display = _Display(console, board)
    before = logger.level, logger.propagate
    logger.addHandler(display)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    live = Live(get_renderable=display.render, console=console, transient=True)
    _Display.active = display
    try:
        with live:
            yield board
    finally:
        _Display.active = None
        logger.removeHandler(display)
        logger.level, logger.propagate = before
        logger.setLevel(before[0])
        console.print(board.render())


@dataclass
class Board:
    """The stages of a run, and how far each has come.

    Attributes
    ----------
    found
        Stage to what is known of it: seconds, once it is done.
    skipped
        Stages that had been done before.
    current
        The stage that runs.
    message
        The last message of it.
    """

    found: dict[str, str]
    skipped: dict[str, str]
    current: str = ""
    message: str = ""
    begun: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Mark a stage as the one that runs, and then as done."""
        self.current, self.message, self.begun = name, "", time.monotonic()
        yield
        self.found[name] = f"{time.monotonic() - self.begun:.1f} s"
        self.current = ""

    def render(self) -> RenderableType:
        """Return a line a stage."""
        width = max(map(len, self.found), default=0)
        lines = []
        for name, seconds in self.found.items():
            mark, style, told = "·", "dim", ""
            if name == self.current:
                mark, style = "▸", "bold"
                told = f"{time.monotonic() - self.begun:.0f} s  {self.message}"
            elif name in self.skipped:
                mark, told = "✓", self.skipped[name]
            elif seconds:
                mark, style, told = "✓", "green", seconds
            lines.append(Text.assemble((f"{mark} {name:<{width}}", style), f"  {told}"))
        return Group(*lines)


class _Display(logging.Handler):
    """The live display, which also takes messages."""

    active: _Display | None = None
    #: See `draw`.
    drawn = True

    def __init__(self, console: Console, board: Board) -> None:
        super().__init__()
        self.console, self.board = console, board
        self.bars: list[Progress] = []

    def render(self) -> RenderableType:
        return Group(self.board.render(), *self.bars)

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno > logging.INFO or "\n" in message:
            self.console.print(message, markup=False, highlight=False)
        else:
            self.board.message = message.removeprefix(f"{self.board.current}: ")


class _Below(Progress):
    """Bars below the stages: the display draws them."""

    def start(self) -> None:
        if _Display.active is not None:
            _Display.active.bars.append(self)

    def stop(self) -> None:
        if _Display.active is not None and self in _Display.active.bars:
            _Display.active.bars.remove(self)

    def refresh(self) -> None:
        """Leave it to the display."""


def _console() -> Console:
    """Return a console of its own descriptor: TensorFlow's import redirects that of the process."""
    if not sys.stderr.isatty():
        return Console(stderr=True)
    with contextlib.suppress(AttributeError, OSError):
        return Console(file=os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8"))
    return Console(stderr=True)


def _is_seen(console: Console) -> bool:
    return _Display.drawn and (console.is_terminal or console.is_jupyter)
