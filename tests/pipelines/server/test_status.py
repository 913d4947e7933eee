"""What the server says of itself: health, metrics, its documentation and its pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from circle import TITLES
from live import Live


class TestStatus:
    def test_alive_ready_bundle(self, live: Live) -> None:
        assert live.get("/healthz").json() == {"status": "alive"}
        ready = live.get("/readyz").json()
        assert (ready["status"], ready["bundle"]) == ("ready", "one")
        about = live.get("/bundle").json()
        assert about["recipe"] == "circle"
        assert about["rows"] == {"users": 30, "items": 24}
        assert about["title"] == "title"

    def test_metrics(self, live: Live) -> None:
        route = 'towermill_requests_total{method="GET",route="/items/{item_id:any}",status="404"}'
        before = live.counted(route)
        live.get("/items/none")
        live.get("/items/none2")
        assert live.counted(route) == before + 2
        assert live.counted('towermill_bundle_info{id="one",kind="retriever",recipe="circle"}') == 1
        assert live.counted('towermill_queue_length{kind="recommend"}') == 0
        assert live.counted("towermill_requests_under_way") == 1  # this one
        unmatched = 'towermill_requests_total{method="any",route="unmatched",status="404"}'
        before = live.counted(unmatched)
        live.get("/no/such/path")
        live.client.request("PURGE", "/no/such/path/2")
        assert live.counted(unmatched) == before + 2

    def test_request_ids(self, live: Live) -> None:
        given = live.client.get("/healthz", headers={"X-Request-ID": "abc-1"})
        assert given.headers["X-Request-ID"] == "abc-1"
        refused = live.client.get("/healthz", headers={"X-Request-ID": "a b" * 30})
        assert len(refused.headers["X-Request-ID"]) == 32

    def test_no_reload_without_a_key(self, live: Live) -> None:
        assert live.client.post("/admin/reload").status_code == 404
        assert "/admin/reload" not in live.get("/openapi.json").json()["paths"]

    def test_nothing_from_elsewhere(self, live: Live) -> None:
        for path in ("/", "/docs"):
            answer = live.get(path)
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "://" not in answer.text
        assert live.get("/page/none.js").status_code == 404
        assert live.client.get("/page/..%2Fapp.py").status_code == 404


class TestDocumented:
    def test_answers_hold_to_their_schemas(self, live: Live) -> None:
        import jsonschema_rs

        document = live.get("/openapi.json").json()
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("post", "/recommend", {"json": {"user_id": 3, "reasons": 2, "candidates": ["i3"]}}),
            ("post", "/recommend/batch", {"json": {"queries": [{"user_id": 3}]}}),
            ("post", "/similar/batch", {"json": {"item_ids": ["i1"]}}),
            ("get", "/similar", {"params": {"item_id": "i1"}}),
            ("get", "/items", {"params": {"query": "film"}}),
            ("get", "/users", {}),
            ("get", "/bundle", {}),
            ("get", "/readyz", {}),
        ]
        for method, path, sent in asked:
            answer = live.client.request(method, path, **sent)
            declared = document["paths"][path][method]["responses"][str(answer.status_code)]
            schema = {**declared["content"]["application/json"]["schema"], **document}
            assert answer.status_code == 200
            jsonschema_rs.validator_for(schema).validate(answer.json())

    def test_limits_are_told(self, serve: Callable[..., Live]) -> None:
        document = serve(max_k=17, max_queries=5, max_ids=9).get("/openapi.json").json()
        models = document["components"]["schemas"]
        query = models["RecommendRequest"]["properties"]
        assert query["k"]["maximum"] == models["SimilarRequest"]["properties"]["k"]["maximum"] == 17
        assert query["exclude"]["maxItems"] == query["history"]["anyOf"][0]["maxItems"] == 9
        assert models["RecommendBatchRequest"]["properties"]["queries"]["maxItems"] == 5
        in_address = document["paths"]["/recommend"]["get"]["parameters"]
        assert [p["schema"]["maximum"] for p in in_address if p["name"] == "k"] == [17]

    def test_examples_are_valid(self, live: Live) -> None:
        from towermill.pipelines.server import schemas

        for model in (
            schemas.RecommendRequest,
            schemas.RecommendBatchRequest,
            schemas.SimilarRequest,
            schemas.SimilarBatchRequest,
        ):
            for example in model.model_json_schema()["examples"]:
                model.model_validate_json(json.dumps(example))

    def test_titles_are_data(self, live: Live) -> None:
        answer = live.get("/items/i1")
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json()["item"]["title"] == TITLES[1]
