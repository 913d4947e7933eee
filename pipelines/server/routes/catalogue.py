"""Routes for the items and users of the bundle, and for the bundle itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.convertors import Convertor, register_url_convertor
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


class _AnyText(Convertor[str]):
    """An id in a path, which may hold slashes and line ends: a server is given them decoded."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any", _AnyText())
router = APIRouter(default_response_class=Response)
#: Greatest whole number up to which JavaScript, and many readers of JSON, are exact.
_EXACT = 2**53 - 1

_COMPUTED = (422, 503, 504)
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Text = Annotated[str, Query(max_length=256)]


def exact(row: dict[str, Any]) -> dict[str, Any]:
    """Return raw values for a page to make links from: whole numbers beyond 2^53 as text."""
    return {
        name: str(value) if isinstance(value, int) and abs(value) > _EXACT else value
        for name, value in row.items()
    }


@router.get("/items", responses=declared(*_COMPUTED, answer=ItemsAnswer))
async def search_items(request: Request, query: Text, limit: Limit = 20) -> Response:
    """Find items whose title has all the words, or that have this id."""
    on = serving(request)
    held = on.holder.current

    def find() -> list[dict[str, Any]]:
        return [exact(held.bundle.item(row)) for row in held.items.find(query, limit)]

    return answered(request, held, items=await on.lookups.run(find))


@router.get("/items/{item_id:any}", responses=declared(404, *_COMPUTED, answer=ItemAnswer))
async def item(request: Request, item_id: str) -> Response:
    """Return an item's raw features."""
    on = serving(request)
    held = on.holder.current

    def find() -> dict[str, Any] | None:
        row = held.bundle.find_item(item_id)
        return None if row is None else exact(held.bundle.item(row))

    found = await on.lookups.run(find)
    if found is None:
        raise HTTPException(404, f"There is no item {item_id!r}.")
    return answered(request, held, item=found)


@router.get("/users", responses=declared(*_COMPUTED, answer=UsersAnswer))
async def users(request: Request, query: Text = "", limit: Limit = 20) -> Response:
    """Find users whose id begins with this; without it, some users from all over the table."""
    on = serving(request)
    held = on.holder.current

    def find() -> list[dict[str, Any]]:
        return [exact(held.bundle.user(row)) for row in held.users.find(query, limit)]

    return answered(request, held, users=await on.lookups.run(find))


@router.get("/users/{user_id:any}", responses=declared(404, *_COMPUTED, answer=UserAnswer))
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
            "user": exact(held.bundle.user(row)),
            "history": [exact(held.bundle.item(int(met))) for met in seen[:limit]],
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
