"""The HTTP protocol of the server: uvicorn's, with a time limit for headers."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HeaderTimeout(HttpToolsProtocol):
    """Closes connections whose request line and headers do not arrive in time.

    uvicorn limits idle connections only: a client that sends a header every few seconds would keep
    its connection, and a file descriptor of the server, forever (Slowloris).

    Attributes
    ----------
    seconds
        The limit, from the connection, or from the first byte of a later request, to the end of the
        headers.
    """

    seconds: ClassVar[float] = 10.0

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the limit."""
        super().connection_made(transport)
        self._start()

    def on_message_begin(self) -> None:
        """Start the limit, for a later request of the connection."""
        super().on_message_begin()
        if self._limit is None:
            self._start()

    def on_headers_complete(self) -> None:
        """End the limit."""
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the limit."""
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        self._limit = self.loop.call_later(self.seconds, self.transport.close)

    def _stop(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def limited_to(seconds: float) -> type[HeaderTimeout]:
    """Return the protocol with this limit."""
    return type("HeaderTimeout", (HeaderTimeout,), {"seconds": seconds})
