"""Routes for health, the served bundle, metrics and reloading."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import Response

from towermill.errors import BundleError
from towermill.pipelines.server.http.responses import answered, as_bytes, declared, problem
from towermill.pipelines.server.schemas import Alive, Ready, ReloadAnswer
from towermill.pipelines.server.service.serving import serving

#: Asked without a key.
health = APIRouter(default_response_class=Response)
metrics = APIRouter(default_response_class=Response)
#: Served only where a key is set.
admin = APIRouter(default_response_class=Response)


@health.get("/healthz", responses={200: {"model": Alive}})
async def healthz() -> Response:
    """Say that the process answers."""
    return Response(as_bytes({"status": "alive"}), media_type="application/json")


@health.get("/readyz", responses=declared(answer=Ready))
async def readyz(request: Request) -> Response:
    """Say which bundle is served: one is, whenever this can be asked."""
    held = serving(request).holder.current
    return answered(request, held, status="ready", since=held.since.isoformat())


@metrics.get(
    "/metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def prometheus(request: Request) -> Response:
    """Return counters and histograms for Prometheus."""
    return Response(
        serving(request).metrics.text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
    )


@admin.post("/admin/reload", responses=declared(409, answer=ReloadAnswer))
async def reload(request: Request) -> Response:
    """Serve the bundle now at the path; a damaged one is refused, and the old one stays."""
    holder = serving(request).holder
    try:
        changed = await holder.reload()
    except BundleError as error:
        return problem(409, str(error))
    return answered(request, holder.current, changed=changed)
