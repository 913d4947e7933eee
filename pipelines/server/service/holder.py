"""Hold the bundle that is served, and replace it by another."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from towermill.errors import BundleError, TowermillError
from towermill.pipelines.bundle.query import Query
from towermill.pipelines.server.metrics import Metrics
from towermill.pipelines.server.service.reader import Opener, Reader, Watched, manifest_of
from towermill.pipelines.server.service.search_items import ItemSearch
from towermill.pipelines.server.service.search_users import UserSearch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """A bundle in service and what is derived from it. Each answer uses one of these."""

    bundle: Reader
    id: str
    path: Path
    since: datetime
    items: ItemSearch
    users: UserSearch


class Holder:
    """Holds the bundle in service.

    The first is opened here, before anything listens.

    Parameters
    ----------
    path
        The bundle's folder, or a link to it, such as ``runs/<recipe>/latest/bundle``: it is
        resolved again at each reload.
    opener
        How to open it.
    metrics
        Where reloads are counted.
    watched
        The files by which `watch` tells another bundle.

    Raises
    ------
    BundleError
        There is no bundle, or it is not whole.
    """

    def __init__(
        self,
        path: str | Path,
        opener: Opener,
        metrics: Metrics,
        watched: Watched = manifest_of,
    ) -> None:
        self.path = Path(path)
        self._opener, self._watched = opener, watched
        self._metrics = metrics
        self._changing = asyncio.Lock()
        self._looked_at = self._mark()
        self.current = self._load()
        metrics.serves(self.current.id, self.current.bundle.manifest)

    async def reload(self) -> bool:
        """Open the bundle at the path, and serve it if it is a different one.

        It is opened and asked for the first time in a thread, while the old one serves on; what
        was begun on the old one is finished on it.

        Returns
        -------
        bool
            Whether another bundle is served now.

        Raises
        ------
        BundleError
            It is refused: the old one stays.
        """
        async with self._changing:
            self._looked_at = self._mark()
            try:
                found = await asyncio.to_thread(self._load)
            except BundleError as error:
                self._metrics.reloads.labels("refused").inc()
                logger.error("bundle refused, the old one stays: %s", error)
                raise
            if found.id == self.current.id:
                self._metrics.reloads.labels("unchanged").inc()
                logger.info("bundle unchanged: %s", found.id)
                return False
            self.current = found
            self._metrics.serves(found.id, found.bundle.manifest)
            self._metrics.reloads.labels("loaded").inc()
            logger.info("bundle loaded: %s from %s", found.id, found.path)
            return True

    async def watch(self, seconds: float) -> None:
        """Reload, for ever, whenever another folder or manifest is at the path than was last."""
        while True:
            await asyncio.sleep(seconds)
            # One that was refused, or a path with nothing there, is not tried again as it is.
            if self._mark() != self._looked_at:
                await self.reload_quietly()

    async def reload_quietly(self) -> None:
        """Reload; a refusal is only logged."""
        try:
            await self.reload()
        except BundleError:
            return

    def _mark(self) -> tuple[Any, ...]:
        """Return what tells the bundle at the path from another, or from one moved there since."""
        return tuple(_mark_of(file) for file in self._watched(self.path))

    def _load(self) -> Held:
        # Resolved once: a link that is moved meanwhile cannot mix two bundles.
        path = self.path.resolve()
        try:
            bundle = self._opener(path)
            searches = ItemSearch(bundle), UserSearch(bundle)
            held = Held(bundle, bundle.manifest.id, path, datetime.now(UTC), *searches)
            _warm(bundle)
        except TowermillError as error:
            raise BundleError(str(error)) from error
        except Exception as error:
            # Whatever a wrong bundle raises, the current one stays in service.
            logger.debug("opening %s failed", path, exc_info=True)
            raise BundleError(f"The bundle at {path} does not work: {error!r}") from error
        return held


def _mark_of(file: Path) -> tuple[Any, ...]:
    try:
        found = file.resolve().stat()
    except OSError:
        return ()
    return file.resolve(), found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _warm(bundle: Reader) -> None:
    """Read from every file once, so that none is opened, or found wrong, by a request."""
    bundle.load()
    if bundle.manifest.rows.users:
        user = bundle.user(0)
        bundle.seen(0)
        bundle.answer([Query(user_id=user["user_id"])])
    else:
        bundle.answer([Query()])
    if bundle.manifest.rows.items and bundle.manifest.index is not None:
        bundle.similar_many([bundle.item(0)["item_id"]], 1)
