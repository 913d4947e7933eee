"""Log each request, as a line of JSON or of text, and count requests."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towermill.pipelines.server.http.responses import BUNDLE_KEY, problem
from towermill.pipelines.server.metrics import Metrics

REQUEST_HEADER: Final = "X-Request-ID"
GONE: Final = 499  # who asked has gone: nginx's number for it

logger = logging.getLogger(__name__)
_encoder = json.JSONEncoder(default=str)
_safe_id = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON; `fields` among its extras become keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encoder.encode(line)


class TextFormatter(logging.Formatter):
    """Writes a record as one line of text for a person at a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s  %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; of a request, its route, status and time instead of the message.

        Lines of failures have the request's id.
        """
        fields, said = getattr(record, "fields", {}), record.getMessage()
        shown = said if record.levelno < logging.WARNING else f"{record.levelname}: {said}"
        if "route" in fields:
            shown = "{method} {route} {status}, {milliseconds} ms".format_map(fields)
        if "request_id" in fields and fields.get("status", 500) >= 500:
            shown += f" ({fields['request_id']})"
        return super().format(record).replace(said, shown, 1)


def set_up_server_log(level: str) -> None:
    """Log from `level` on to standard error: as text at a terminal, elsewhere as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if sys.stderr.isatty() else JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("towermill", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())


class Observed:
    """ASGI middleware that names, times, counts and logs each request.

    What breaks off inside is answered 500, with the request's id for its traceback in the log.

    Parameters
    ----------
    app
        What answers.
    metrics
        Where it is counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(scope)
        status = GONE

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_HEADER] = request_id
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, send_named)
        except Exception:
            logger.exception("request failed", extra={"fields": {"request_id": request_id}})
            if status == GONE:
                text = f"The server failed. Its log has more, under {request_id}."
                await problem(500, text)(scope, receive, send_named)
        finally:
            self._metrics.under_way.dec()
            self._record(scope, request_id, status, time.perf_counter() - began)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        # Not the path: clients could create any number of label values.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if route != "unmatched" else "any"
        self._metrics.requests.labels(route, method, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if logger.isEnabledFor(logging.INFO):
            fields = {
                "request_id": request_id,
                "method": scope["method"],
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 3),
                "bundle": scope.get(BUNDLE_KEY),
            }
            logger.info("request", extra={"fields": fields})


def _request_id(scope: Scope) -> str:
    """Return the id that the client or a proxy gave the request, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _safe_id.fullmatch(value):
            return str(value, "ascii")
    return uuid.uuid4().hex
