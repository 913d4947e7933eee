"""Set up each process of a Dask cluster for Towermill."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from distributed import SchedulerPlugin, WorkerPlugin

from towermill import merlin
from towermill.errors import SetupError
from towermill.runtime.versions import differences, versions

logger = logging.getLogger("distributed.worker")  # whose messages Dask shows and collects

_NAME = "towermill"


class TowermillPlugin(WorkerPlugin):  # type: ignore[misc]
    """Activates Merlin in a worker; one whose versions are not the client's is closed.

    Parameters
    ----------
    expected
        `towermill.runtime.versions.versions` of the client.
    """

    name = _NAME
    idempotent = True

    def __init__(self, expected: Mapping[str, str]) -> None:
        self.expected = dict(expected)

    def setup(self, worker: Any) -> None:
        """Run as the worker joins, before it is given work.

        Raises
        ------
        SetupError
            The versions differ. Dask only logs it, so the worker is closed as well, its nanny with
            it, which would start it again.
        """
        table = differences(self.expected, {worker.address: versions()})
        if table:
            reason = "its versions are not those of Towermill's client"
            worker.loop.call_later(0, worker.close, nanny=True, reason=reason)
            raise SetupError(f"This worker is refused, as {reason}:\n{table}")
        merlin.activate()


class TowermillSchedulerPlugin(SchedulerPlugin):  # type: ignore[misc]
    """Activates Merlin in the scheduler, which unpickles and lowers dask-expr's expressions."""

    name = _NAME
    idempotent = True

    def start(self, scheduler: Any) -> None:
        """Run as the plugin is registered."""
        merlin.activate()


def register(client: Any) -> None:
    """Make a client's scheduler and workers, those that join later too, fit to run Towermill.

    Dask sends expressions to the scheduler and tasks to the workers pickled; unpickling any object
    of Merlin's needs its patches first, and the same versions. A second call does nothing.

    Parameters
    ----------
    client
        A ``distributed.Client`` of any cluster whose processes have Towermill installed.

    Raises
    ------
    SetupError
        A process cannot import Towermill, or runs other versions than this one: with a table.
    """
    here = versions()
    try:
        there = client.run(versions) | {"the scheduler": client.run_on_scheduler(versions)}
        table = differences(here, there)
        if not table:
            client.register_plugin(TowermillSchedulerPlugin())
            client.register_plugin(TowermillPlugin(here))
    except Exception as error:
        if "No module named 'towermill" not in str(error):  # of any type: it crossed processes
            raise
        raise SetupError(
            f"Towermill could not be activated on the Dask cluster: {error}. Every worker and the "
            "scheduler need this version of Towermill installed; "
            "`dask worker --preload towermill.merlin` shows what is missing."
        ) from error
    if table:
        raise SetupError(
            "Every worker and the scheduler should run the versions that run here. These differ:\n"
            f"{table}\n"
            "Install the same on all (requirements/ pins it), and start them again."
        )
