"""Routes for recommendations and similar items, single or in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from towermill.pipelines.server.http.limits import check_count, check_query
from towermill.pipelines.server.http.responses import answered, declared
from towermill.pipelines.server.routes.body import BodyRoute
from towermill.pipelines.server.schemas import (
    RecommendAnswer,
    RecommendBatchAnswer,
    RecommendBatchRequest,
    RecommendRequest,
    SimilarAnswer,
    SimilarBatchAnswer,
    SimilarBatchRequest,
    SimilarRequest,
)
from towermill.pipelines.server.service.holder import Held
from towermill.pipelines.server.service.reasons import add_reasons
from towermill.pipelines.server.service.serving import Neighbours, serving

router = APIRouter(default_response_class=Response)
#: Of requests with a body.
posts = APIRouter(default_response_class=Response, route_class=BodyRoute)

_BODY = (408, 413)
_COMPUTED = (422, 503, 504)
TextIdParameter = Annotated[str, Query(min_length=1, max_length=1024, examples=["196"])]
KParameter = Annotated[int, Query(ge=1, description="How many items.")]


@posts.post("/recommend", responses=declared(*_BODY, *_COMPUTED, answer=RecommendAnswer))
async def recommend(request: Request, body: RecommendRequest) -> Response:
    """Recommend items for a user, a history, or features."""
    held, [found] = await _recommend(request, [body])
    return answered(request, held, **found)


@router.get("/recommend", responses=declared(*_COMPUTED, answer=RecommendAnswer))
async def recommend_user(
    request: Request,
    user_id: TextIdParameter,
    k: KParameter = 10,
    filter_seen: bool = True,
    reasons: Annotated[int, Query(ge=0, le=3)] = 0,
) -> Response:
    """Recommend items to a user: the same by an address alone."""
    body = RecommendRequest(user_id=user_id, k=k, filter_seen=filter_seen, reasons=reasons)
    held, [found] = await _recommend(request, [body])
    return answered(request, held, **found)


@posts.post("/recommend/batch", responses=declared(*_BODY, *_COMPUTED, answer=RecommendBatchAnswer))
async def recommend_batch(request: Request, body: RecommendBatchRequest) -> Response:
    """Answer several queries; if one is not valid, none is answered."""
    check_count("queries", len(body.queries), serving(request).settings.max_queries)
    held, found = await _recommend(request, body.queries)
    return answered(request, held, answers=found)


@posts.post("/similar", responses=declared(*_BODY, 404, *_COMPUTED, answer=SimilarAnswer))
async def similar(request: Request, body: SimilarRequest) -> Response:
    """Return the items nearest to one."""
    held, [items] = await _similar(request, [body.item_id], body.k)
    return answered(request, held, items=items)


@router.get("/similar", responses=declared(404, *_COMPUTED, answer=SimilarAnswer))
async def similar_item(request: Request, item_id: TextIdParameter, k: KParameter = 10) -> Response:
    """Return the items nearest to one: the same by an address alone."""
    held, [items] = await _similar(request, [item_id], k)
    return answered(request, held, items=items)


@posts.post(
    "/similar/batch", responses=declared(*_BODY, 404, *_COMPUTED, answer=SimilarBatchAnswer)
)
async def similar_batch(request: Request, body: SimilarBatchRequest) -> Response:
    """Return the items nearest to each of several; if one is not known, none is answered."""
    check_count("item_ids", len(body.item_ids), serving(request).settings.max_queries)
    held, found = await _similar(request, body.item_ids, body.k)
    return answered(request, held, answers=found)


async def _recommend(
    request: Request, asked: Sequence[RecommendRequest]
) -> tuple[Held, list[dict[str, Any]]]:
    on = serving(request)
    for one in asked:
        check_query(one, on.settings)
    queries = [one.query() for one in asked]
    for query in queries:
        on.holder.current.bundle.check(query)
    held, answers = await on.recommend.ask(queries)
    if any(one.reasons for one in asked):

        def explain() -> list[Neighbours]:
            return [
                add_reasons(held.bundle, query, answer.items, one.reasons)
                if one.reasons
                else answer.items
                for one, query, answer in zip(asked, queries, answers, strict=True)
            ]

        items = await on.lookups.run(explain)
    else:
        items = [answer.items for answer in answers]
    return held, [
        {"known": answer.known, "by": answer.by, "items": its}
        for answer, its in zip(answers, items, strict=True)
    ]


async def _similar(
    request: Request, item_ids: Sequence[Any], k: int
) -> tuple[Held, list[Neighbours]]:
    on = serving(request)
    check_count("k", k, on.settings.max_k)
    for item_id in item_ids:
        if on.holder.current.bundle.find_item(item_id) is None:
            raise HTTPException(404, f"There is no item {item_id!r}.")
    return await on.similar.ask([(item_id, k) for item_id in item_ids])
