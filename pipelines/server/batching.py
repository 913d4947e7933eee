"""Batch requests that arrive at about the same time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from towermill.pipelines.server.metrics import Metrics
from towermill.pipelines.server.service.holder import Held, Holder
from towermill.pipelines.server.settings import Settings

logger = logging.getLogger(__name__)

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")


class BusyError(Exception):
    """More is waiting than may wait."""


class LateError(Exception):
    """The answer did not come in time."""


@dataclass
class _Group(Generic[Q, A]):
    """Queries of one request, which go into one batch and so to one bundle."""

    queries: Sequence[Q]
    since: float
    answered: asyncio.Future[tuple[Held, list[A]]]


class Batcher(Generic[Q, A]):
    """Gathers queries into batches, and has threads answer them.

    While nothing is computed, what comes is begun at once. While something is, it waits for
    company: up to `Settings.wait` where a thread is free, else until one is.

    Parameters
    ----------
    kind
        A word for the metrics.
    answer
        Answers a batch from a bundle, in a thread. Where it raises, each query is asked again by
        itself, so that none suffers from another.
    holder
        Holds the bundle; a batch uses the one in service when it starts.
    settings, metrics
        The server's settings and metrics.
    """

    def __init__(
        self,
        kind: str,
        answer: Callable[[Held, Sequence[Q]], list[A]],
        holder: Holder,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._answer = answer
        self._holder = holder
        self._settings = settings
        self._sizes = metrics.batches.labels(kind)
        self._threads = ThreadPoolExecutor(settings.threads, f"towermill-{kind}")
        self._waiting: deque[_Group[Q, A]] = deque()
        self._length = 0
        self._running = 0
        self._timer: asyncio.TimerHandle | None = None
        metrics.watch_queue(kind, lambda: self._length)

    async def ask(self, queries: Sequence[Q]) -> tuple[Held, list[A]]:
        """Return the answers to some queries, and the one bundle that they are from.

        Raises
        ------
        BusyError
            Too much is waiting.
        LateError
            It takes longer than `Settings.timeout`.
        """
        if self._length and self._length + len(queries) > self._settings.max_queue:
            raise BusyError
        loop = asyncio.get_running_loop()
        group: _Group[Q, A] = _Group(queries, loop.time(), loop.create_future())
        self._waiting.append(group)
        self._length += len(queries)
        self._begin_what_may()
        return await _in_time(group.answered, self._settings.timeout)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin_what_may(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting and self._running < self._settings.threads:
            wait = self._waiting[0].since + self._settings.wait - loop.time()
            if self._running and self._length < self._settings.max_batch and wait > 0:
                self._timer = loop.call_later(wait, self._begin_what_may)
                return
            groups = self._take()
            if groups:
                self._running += 1
                work = loop.run_in_executor(self._threads, self._work, groups)
                work.add_done_callback(partial(self._finish, groups))

    def _take(self) -> list[_Group[Q, A]]:
        """Return the groups of the next batch, without those whose clients have gone."""
        taken: list[_Group[Q, A]] = []
        size = 0
        while self._waiting:
            more = len(self._waiting[0].queries)
            if taken and size + more > self._settings.max_batch:
                break
            group = self._waiting.popleft()
            self._length -= more
            if not group.answered.done():
                taken.append(group)
                size += more
        return taken

    def _work(self, groups: list[_Group[Q, A]]) -> tuple[Held, list[A | Exception]]:
        held = self._holder.current
        queries = [query for group in groups for query in group.queries]
        self._sizes.observe(len(queries))
        try:
            return held, list(self._answer(held, queries))
        except Exception as error:
            if len(queries) == 1:
                return held, [error]
            logger.debug("a batch failed; its queries are asked alone", exc_info=True)
        return held, [self._alone(held, query) for query in queries]

    def _alone(self, held: Held, query: Q) -> A | Exception:
        try:
            return self._answer(held, [query])[0]
        except Exception as error:
            return error

    def _finish(
        self,
        groups: list[_Group[Q, A]],
        done: asyncio.Future[tuple[Held, list[A | Exception]]],
    ) -> None:
        self._running -= 1
        if done.cancelled():  # the server is stopped by force
            return
        self._begin_what_may()
        held, answers = done.result()
        for group in groups:
            its, answers = answers[: len(group.queries)], answers[len(group.queries) :]
            if group.answered.done():
                continue
            errors = [answer for answer in its if isinstance(answer, Exception)]
            if errors:
                group.answered.set_exception(errors[0])
            else:
                group.answered.set_result((held, its))  # type: ignore[arg-type]


class Lookups:
    """Has threads read from a bundle what takes no model.

    Parameters
    ----------
    settings
        The server's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.threads, "towermill-lookup")
        self._begun = 0

    async def run(self, read: Callable[[], T]) -> T:
        """Return what `read` returns; it raises as `Batcher.ask` does."""
        if self._begun >= self._settings.max_queue:
            raise BusyError
        self._begun += 1
        work = asyncio.get_running_loop().run_in_executor(self._threads, read)
        work.add_done_callback(self._finish)
        return await _in_time(work, self._settings.timeout)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _finish(self, _: asyncio.Future[T]) -> None:
        self._begun -= 1


async def _in_time(answered: asyncio.Future[T], timeout: float) -> T:
    try:
        async with asyncio.timeout(timeout):
            return await answered
    except TimeoutError:
        raise LateError from None
