"""Settings of a server: limits, times, its API key."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path

from towermill.errors import SetupError

API_KEY_VARIABLE = "TOWERMILL_API_KEY"


@dataclass(frozen=True)
class Settings:
    """Settings of a server. All numbers are validated on creation.

    Attributes
    ----------
    max_k
        Maximum number of items in an answer; at least 10, the default of `k`.
    max_queries
        Most queries in one call of ``/recommend/batch``, most ids in one of ``/similar/batch``.
    max_ids
        Most ids in `history`, `exclude` and `candidates`, each.
    max_body
        Bytes of a request's body.
    max_batch
        Queries that are computed together.
    max_queue
        Queries that may wait; more are answered 503.
    wait
        Seconds that a query waits for others while something is being computed; if nothing is, it
        is begun at once.
    threads
        Batches computed at a time.
    timeout
        Seconds until a request is answered 504, and within which its headers must arrive.
    api_key
        Required value of the header ``X-API-Key``; None requires none.
    watch
        Seconds between looks for a newer bundle at the path; None does not look.

    Raises
    ------
    SetupError
        A number is out of range.
    """

    max_k: int = 1000
    max_queries: int = 256
    max_ids: int = 10_000
    max_body: int = 2**20
    max_batch: int = 64
    max_queue: int = 1024
    wait: float = 0.002
    threads: int = 2
    timeout: float = 10.0
    api_key: str | None = None
    watch: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "api_key" or value is None:
                continue
            least: float = 1 if isinstance(field.default, int) else 0.001
            least = {"wait": 0, "max_k": 10}.get(field.name, least)
            if not math.isfinite(value) or value < least:
                raise SetupError(
                    f"`{field.name}` of the server should be at least {least}. Received: {value!r}"
                )
        if self.max_queries > self.max_queue:
            raise SetupError(
                f"`max_queries` should be at most `max_queue`, as a call is queued whole. "
                f"Received: {self.max_queries} and {self.max_queue}."
            )


def read_api_key(file: Path | None) -> str | None:
    """Return the key in a file, else that of the variable TOWERMILL_API_KEY, else None.

    Raises
    ------
    SetupError
        The file cannot be read, or it or the variable holds no valid key.
    """
    where: str = f"${API_KEY_VARIABLE}"
    found = os.environ.get(API_KEY_VARIABLE)
    if file is not None:
        where = str(file)
        try:
            found = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"Cannot read the API key in {file}: {error}") from error
    if found is not None and not (found.isascii() and found.isprintable() and found.strip()):
        raise SetupError(f"The API key in {where} should be some printable ASCII characters.")
    return found
