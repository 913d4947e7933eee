"""Answers as JSON, and errors as answers.

Answers are written by `json` from what a bundle returns: checking each against its schema again
would take longer than all the rest of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from towermill.errors import BundleError
from towermill.pipelines.bundle.records import to_json
from towermill.pipelines.server.batching import BusyError, LateError
from towermill.pipelines.server.schemas import Problem
from towermill.pipelines.server.service.holder import Held

BUNDLE_HEADER: Final = "X-Towermill-Bundle"
BUNDLE_KEY: Final = "towermill.bundle"  # of the scope, where the log finds it

_SAID: Final = {
    401: "The header X-API-Key is missing or wrong.",
    404: "There is no such item or user.",
    408: "The body did not arrive in time.",
    409: "The new bundle was refused; the current one stays in service.",
    413: "The body is too large.",
    422: "The request is not valid, or this bundle cannot answer it.",
    503: "Too many requests are waiting: try again after Retry-After seconds.",
    504: "The answer did not come in time.",
}


def answered(request: Request, held: Held, **content: Any) -> Response:
    """Return an answer from a bundle, which it names."""
    request.scope[BUNDLE_KEY] = held.id
    return Response(
        as_bytes({"bundle": held.id, **content}),
        media_type="application/json",
        headers={BUNDLE_HEADER: held.id},
    )


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as an answer."""
    return Response(as_bytes({"detail": detail}), status, headers, "application/json")


def declared(*statuses: int, answer: type[Any]) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route for its OpenAPI: the answer, and these errors."""
    name = {"description": "Content id of the bundle.", "schema": {"type": "string"}}
    found: dict[int | str, dict[str, Any]] = {
        200: {"model": answer, "headers": {BUNDLE_HEADER: name}}
    }
    for status in statuses:
        found[status] = {"model": Problem, "description": _SAID[status]}
    if 503 in found:
        found[503]["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
        }
    return found


def handle_errors(app: FastAPI) -> None:
    """Answer errors raised in routes."""
    # Types of FastAPI's: a handler takes any exception there, of which these are kinds.
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(BundleError, _not_answerable)
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(LateError, _late)


async def _not_valid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    # The input is not repeated: it may be long, or not printable text.
    said = [
        f"`{'.'.join(str(part) for part in found['loc'])}`: {found['msg']}"
        for found in error.errors()[:10]
    ]
    return problem(422, "; ".join(said))


async def _not_answerable(_: Request, error: Exception) -> Response:
    return problem(422, str(error))


async def _busy(_: Request, error: Exception) -> Response:
    return problem(503, _SAID[503], {"Retry-After": "1"})


async def _late(_: Request, error: Exception) -> Response:
    return problem(504, _SAID[504])


def as_bytes(value: Any) -> bytes:
    """Return JSON in UTF-8."""
    # Half a surrogate pair, which a request may hold and UTF-8 may not, is left as JSON's escape.
    return to_json(value).encode("utf-8", "backslashreplace")
