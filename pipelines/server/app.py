"""The server as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Security
from fastapi.openapi.utils import get_openapi

from towermill import __version__
from towermill.pipelines.server.http.auth import require_key
from towermill.pipelines.server.http.limits import BodyLimit, state_limits
from towermill.pipelines.server.http.logs import Observed
from towermill.pipelines.server.http.responses import handle_errors
from towermill.pipelines.server.metrics import Metrics
from towermill.pipelines.server.routes import catalogue as catalogue_routes
from towermill.pipelines.server.routes import page as page_routes
from towermill.pipelines.server.routes import recommend as recommend_routes
from towermill.pipelines.server.routes import status as status_routes
from towermill.pipelines.server.schemas import Problem
from towermill.pipelines.server.service.holder import Holder
from towermill.pipelines.server.service.serving import Serving
from towermill.pipelines.server.settings import Settings


def create_app(holder: Holder, settings: Settings, metrics: Metrics) -> FastAPI:
    """Return an application that serves a bundle.

    Parameters
    ----------
    holder
        Holds the bundle.
    settings
        Limits, times, the key.
    metrics
        As given to `holder`.
    """
    app = FastAPI(
        title="Towermill",
        description="Recommendations and similar items from a bundle.",
        version=__version__,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.serving = Serving.of(holder, settings, metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    handle_errors(app)
    app.add_middleware(BodyLimit, most=settings.max_body, timeout=settings.timeout)
    app.add_middleware(Observed, metrics=metrics)  # the outer one

    guarded: dict[str, Any] = {}
    if settings.api_key is not None:
        refused = {"model": Problem, "description": "The header X-API-Key is missing or wrong."}
        guarded = {"dependencies": [Security(require_key)], "responses": {401: refused}}
        app.include_router(status_routes.admin, **guarded)
    app.include_router(recommend_routes.posts, **guarded)
    app.include_router(recommend_routes.router, **guarded)
    app.include_router(catalogue_routes.router, **guarded)
    app.include_router(status_routes.metrics, **guarded)
    app.include_router(status_routes.health)
    app.include_router(page_routes.router)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    on: Serving = app.state.serving
    seconds = on.settings.watch
    watching = None if seconds is None else asyncio.create_task(on.holder.watch(seconds))
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()
        on.close()


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        state_limits(schema, app.state.serving.settings)
        app.openapi_schema = schema
    return app.openapi_schema
