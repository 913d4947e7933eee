"""Limits on what a request may ask for, and on the length of its body."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towermill.pipelines.server.http.responses import problem
from towermill.pipelines.server.schemas import RecommendRequest
from towermill.pipelines.server.settings import Settings


def check_count(name: str, count: int, most: int) -> None:
    """Raise HTTP error 422 if `count` is more than `most`."""
    if count > most:
        raise HTTPException(422, f"`{name}` should be at most {most}. Received: {count}")


def check_query(query: RecommendRequest, settings: Settings) -> None:
    """Raise HTTP error 422 if a query is beyond the limits of the server."""
    check_count("k", query.k, settings.max_k)
    for name in ("history", "exclude", "candidates"):
        check_count(f"{name}: ids", len(getattr(query, name) or ()), settings.max_ids)
    for name, value in (query.features or {}).items():
        if isinstance(value, list):
            check_count(f"features.{name}: values", len(value), settings.max_ids)


def state_limits(node: Any, settings: Settings) -> None:
    """Write the limits into an OpenAPI document, in place."""
    if isinstance(node, list):
        for entry in node:
            state_limits(entry, settings)
    if not isinstance(node, dict):
        return
    if node.get("name") == "k" and "schema" in node:
        node["schema"]["maximum"] = settings.max_k
    for name, schema in node.get("properties", {}).items():
        if name == "k":
            schema["maximum"] = settings.max_k
        elif name in ("queries", "item_ids"):
            schema["maxItems"] = settings.max_queries
        elif name in ("history", "exclude", "candidates", "features"):
            _limit_lists(schema, settings.max_ids)
    for entry in node.values():
        state_limits(entry, settings)


def _limit_lists(schema: dict[str, Any], most: int) -> None:
    parts = [schema, *schema.get("anyOf", [])]
    values = [part.get("additionalProperties", {}) for part in parts]
    parts += [part for value in values for part in value.get("anyOf", [])]
    for part in parts:
        if part.get("type") == "array":
            part["maxItems"] = most


class BodyLimit:
    """ASGI middleware that reads a request's body up to a limit, whatever its headers say.

    Parameters
    ----------
    app
        Is given the whole body at once.
    most
        Bytes; more is answered 413.
    timeout
        Seconds for all of the body to arrive; then 408.
    """

    def __init__(self, app: ASGIApp, most: int, timeout: float) -> None:
        self._app = app
        self._most = most
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] == "GET":  # of which no body is read
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._read(scope, receive)
        except _TooLongError:
            text = f"The body should be at most {self._most} bytes."
            # The rest of it is not wanted.
            await problem(413, text, {"Connection": "close"})(scope, receive, send)
        except TimeoutError:
            text = f"The body should arrive within {self._timeout:g} seconds."
            await problem(408, text, {"Connection": "close"})(scope, receive, send)
        except _GoneError:
            return
        else:
            await self._app(scope, _Replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._most:
                raise _TooLongError
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > self._most:
                raise _TooLongError
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)


class _TooLongError(Exception):
    pass


class _GoneError(Exception):
    pass


class _Replay:
    """Gives a body that was read already, then what follows it."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
