"""Write the report of a finished run: ``report.html``, one page that needs no network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from towermill import __version__
from towermill.files import replacing
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.running.plan import Step

logger = logging.getLogger(__name__)

_PAGE: Final = Path(__file__).parent / "page"


def report_after(folder: Path | None, steps: Sequence[Step]) -> None:
    """Write the report of the run that has just ended; a failure is a warning.

    Parameters
    ----------
    folder
        Where the run's stages are linked; None if it is not whole.
    steps
        As planned. If none ran, a report that is there is kept.
    """
    if folder is None:
        return
    try:
        run = RunFiles.of(folder)
        if any(step.runs for step in steps) or not run.report.is_file():
            write_report(run)
    except Exception as error:
        logger.debug("where the report failed", exc_info=error)
        logger.warning(
            "No report was written (%s: %s). The run itself is complete; `towermill report %s` "
            "tries again.",
            type(error).__name__,
            str(error).rstrip("."),
            folder,
        )


def write_report(run: RunFiles) -> Path:
    """Write the report of a finished run, and return its path.

    A section that fails is left out with a warning.

    Raises
    ------
    DataError
        The run's metrics cannot be read.
    """
    html = render(run)
    with replacing(run.report, shared=True) as file:
        file.write_text(html, encoding="utf-8")
    return run.report


def render(run: RunFiles) -> str:
    """Return the report of a finished run as HTML."""
    from towermill.pipelines.running.report.data import data
    from towermill.pipelines.running.report.items import item_map
    from towermill.pipelines.running.report.quality import quality
    from towermill.pipelines.running.report.training import training
    from towermill.pipelines.running.report.users import users

    bundle = Bundle.open(run.bundle)
    sections: dict[str, Callable[[], Any]] = {
        "quality": lambda: quality(run),
        "data": lambda: data(run),
        "training": lambda: training(run),
        "map": lambda: item_map(bundle),
        "users": lambda: users(run, bundle),
    }
    made = {name: _made(name, make) for name, make in sections.items()}
    recipe = {name: value for name, value in run.recipe.items() if value is not None}
    return page(
        "report.html",
        **made,
        run=run,
        bundle=bundle.manifest,
        stages=run.manifests,
        longest=max(stage.seconds for stage in run.manifests.values()),
        recipe=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True),
    )


def page(name: str, **values: Any) -> str:
    """Return a page's template filled with values."""
    filled: str = environment().get_template(name).render(**values, version=__version__)
    return filled


def environment() -> Any:
    """Return Jinja's environment of the pages, which escapes every value."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"count": _count, "when": _when, "lasted": _lasted, "gib": _memory}
    return made


def _made(name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:
        logger.debug("where the section %s failed", name, exc_info=error)
        logger.warning(
            "The report has no section %r (%s: %s); the run itself is complete.",
            name,
            type(error).__name__,
            error,
        )
        return None


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _when(value: str | datetime) -> str:
    return datetime.fromisoformat(str(value)).strftime("%Y-%m-%d %H:%M")


def _lasted(seconds: float) -> str:
    """Return a duration as people read it.

    Examples
    --------
    >>> _lasted(3.21), _lasted(75), _lasted(7300)
    ('3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _memory(size: int | None) -> str:
    return "" if size is None else f"{size / 2**30:.1f} GiB"
