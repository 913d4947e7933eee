"""Routes for the items and users of the bundle, and for the bundle itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from towermill.pipelines.server.http.responses import answered, declared
from towermill.pipelines.server.schemas import (
    BundleAnswer,
    ItemAnswer,
    ItemsAnswer,
    UserAnswer,
    UsersAnswer,
)
from towermill.pipelines.server.service.serving import serving

router = APIRouter(default_response_class=Response)

_COMPUTED = (422, 503, 504)
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Text = Annotated[str, Query(max_length=256)]


@router.get("/items", responses=declared(*_COMPUTED, answer=ItemsAnswer))
async def search_items(request: Request, query: Text, limit: Limit = 20) -> Response:
    """Find items whose title has all the words, or that have this id."""
    on = serving(request)
    held = on.holder.current

    def find() -> list[dict[str, Any]]:
        return [held.bundle.item(row) for row in held.search.find(query, limit)]

    return answered(request, held, items=await on.lookups.run(find))


# An id may hold a slash, which a server is given decoded.
@router.get("/items/{item_id:path}", responses=declared(404, *_COMPUTED, answer=ItemAnswer))
async def item(request: Request, item_id: str) -> Response:
    """Return an item's raw features."""
    on = serving(request)
    held = on.holder.current

    def find() -> dict[str, Any] | None:
        row = held.bundle.find_item(item_id)
        return None if row is None else held.bundle.item(row)

    found = await on.lookups.run(find)
    if found is None:
        raise HTTPException(404, f"There is no item {item_id!r}.")
    return answered(request, held, item=found)


@router.get("/users", responses=declared(*_COMPUTED, answer=UsersAnswer))
async def users(request: Request, query: Text = "", limit: Limit = 20) -> Response:
    """Return the user with this id, or without one some users from all over the table."""
    on = serving(request)
    held = on.holder.current

    def find() -> list[dict[str, Any]]:
        if query:
            row = held.bundle.find_user(query)
            return [] if row is None else [held.bundle.user(row)]
        count = held.bundle.manifest.rows.users
        rows = np.linspace(0, count - 1, min(limit, count)).astype(int)
        return [held.bundle.user(int(row)) for row in rows]

    return answered(request, held, users=await on.lookups.run(find))


@router.get("/users/{user_id:path}", responses=declared(404, *_COMPUTED, answer=UserAnswer))
async def user(request: Request, user_id: str, limit: Limit = 20) -> Response:
    """Return a user's raw features, and the first items they have seen."""
    on = serving(request)
    held = on.holder.current

    def find() -> dict[str, Any] | None:
        row = held.bundle.find_user(user_id)
        if row is None:
            return None
        seen = held.bundle.seen(row)
        return {
            "user": held.bundle.user(row),
            "history": [held.bundle.item(int(met)) for met in seen[:limit]],
            "history_length": len(seen),
        }

    found = await on.lookups.run(find)
    if found is None:
        raise HTTPException(404, f"There is no user {user_id!r}.")
    return answered(request, held, **found)


@router.get("/bundle", responses=declared(answer=BundleAnswer))
async def bundle(request: Request) -> Response:
    """Describe the bundle in service: recipe, sizes and metrics."""
    held = serving(request).holder.current
    manifest = held.bundle.manifest
    return answered(
        request,
        held,
        recipe=manifest.recipe_name,
        kind=manifest.kind,
        title=held.bundle.title,
        rows=asdict(manifest.rows),
        query_features=list(manifest.query_features),
        metrics=manifest.metrics,
    )
