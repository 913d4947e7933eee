"""Every route: what it answers, and what it says of a request that is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from circle import CircleBundle
from live import Live


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["item_id"] for item in items]


class TestRecommend:
    # User 3 stands at item 21 of 24 and has met 21, 22 and 23.
    NEAREST = ("i20", "i19", "i0", "i18", "i1")

    @pytest.mark.parametrize("user", [3, "3", 3.0])
    def test_nearest_items_not_met(self, live: Live, user: Any) -> None:
        answer = live.post("/recommend", user_id=user, k=5)
        assert answer.status_code == 200
        found = answer.json()
        assert ids(found["items"]) == list(self.NEAREST)
        assert found["known"] is True
        assert found["bundle"] == answer.headers["X-Towermill-Bundle"] == "one"
        scores = [item["score"] for item in found["items"]]
        assert scores == sorted(scores, reverse=True)

    def test_by_address_alone(self, live: Live) -> None:
        assert ids(live.get("/recommend", user_id=3, k=5).json()["items"]) == list(self.NEAREST)
        kept = live.get("/recommend", user_id=3, k=1, filter_seen=False).json()
        assert ids(kept["items"]) == ["i21"]

    def test_history_exclude_candidates(self, live: Live) -> None:
        found = live.post("/recommend", history=["i10"], exclude=["i11"], k=2).json()
        assert ids(found["items"]) == ["i9", "i12"]
        found = live.post("/recommend", history=["i10"], candidates=["i0", "i7", "no"]).json()
        assert ids(found["items"]) == ["i7", "i0"]

    def test_values_as_json(self, live: Live) -> None:
        [item] = live.post("/recommend", user_id=1, candidates=["i3"]).json()["items"]
        assert item["year"] is None  # NaN
        assert item["added"] == "2020-01-01T00:00:00+00:00"
        assert item["genres"] == ["Drama", "Crime"]

    @pytest.mark.parametrize("user", ["nobody", "", None, 0, -1, 2**63, -(10**400), "é\x00"])
    def test_stranger(self, live: Live, user: Any) -> None:
        found = live.post("/recommend", user_id=user, k=2).json()
        assert found["known"] is False
        assert len(found["items"]) == 2

    def test_reasons(self, live: Live) -> None:
        found = live.post("/recommend", user_id=3, k=3, reasons=2).json()["items"]
        assert [ids(item["because"]) for item in found] == [
            ["i21", "i22"],
            ["i21", "i22"],
            ["i23", "i22"],
        ]
        assert found[0]["because"][0]["score"] == pytest.approx(0.9659, abs=1e-4)
        assert "because" not in live.post("/recommend", user_id=3).json()["items"][0]
        history = live.post("/recommend", history=["i5", "i6"], k=1, reasons=3).json()["items"]
        assert [ids(item["because"]) for item in history] == [["i6", "i5"]]
        nobody = live.post("/recommend", user_id="nobody", k=1, reasons=3).json()["items"]
        assert [item["because"] for item in nobody] == [[]]

    def test_batch_is_each_alone(self, live: Live) -> None:
        queries = [
            {"user_id": 3, "k": 2},
            {"history": ["i10"], "k": 4, "reasons": 1},
            {"user_id": "nobody"},
        ]
        found = live.post("/recommend/batch", queries=queries).json()
        alone = [live.post("/recommend", **query).json() for query in queries]
        assert [{"bundle": "one", **answer} for answer in found["answers"]] == alone

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"user_id": 3, "k": 0}, "body.k"),
            ({"user_id": 3, "k": True}, "body.k"),
            ({"user_id": 3, "k": 1001}, "`k` should be at most 1000"),
            ({"user_id": 1.5}, "body.user_id"),
            ({"user_id": {"a": 1}}, "body.user_id"),
            ({"user": 3}, "body.user"),
            ({"history": "i1"}, "body.history"),
            ({"candidates": ["i1"] * 10_001}, "candidates"),
            ({"features": {"shoe_size": 3}}, "shoe_size"),
            ({"features": {"age": "old"}}, "age"),
            ({"user_id": 3, "reasons": 4}, "body.reasons"),
        ],
    )
    def test_wrong_queries(self, live: Live, body: dict[str, Any], said: str) -> None:
        for path, sent in (
            ("/recommend", body),
            ("/recommend/batch", {"queries": [{"user_id": 1}, body]}),
        ):
            answer = live.post(path, **sent)
            assert answer.status_code == 422
            assert said.replace("body.", "") in answer.json()["detail"]

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b'{"user_id": "\xff"}',
            b'{"user_id": "\\ud800"}',
            b'{"\\ud800": 1}',
            b'{"features": {"age": NaN}}',
            b'{"user_id": 1' + b"0" * 5000 + b"}",
            b'{"features": ' * 20_000 + b"}" * 20_000,
        ],
    )
    def test_wrong_bodies(self, live: Live, content: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        answer = live.client.post("/recommend", content=content, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("`body")

    @pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data; boundary=a"])
    def test_not_said_to_be_json(self, live: Live, kind: str) -> None:
        headers = {"Content-Type": kind}
        answer = live.client.post("/recommend", content=b'{"user_id": 1}', headers=headers)
        assert answer.status_code == 422
        assert "application/json" in answer.json()["detail"]

    def test_no_queries_or_too_many(self, live: Live) -> None:
        assert live.post("/recommend/batch", queries=[]).status_code == 422
        many = live.post("/recommend/batch", queries=[{"user_id": 1}] * 257)
        assert "at most 256" in many.json()["detail"]


class TestSimilar:
    def test_nearest_first(self, live: Live) -> None:
        found = live.post("/similar", item_id="i5", k=4).json()
        assert ids(found["items"]) == ["i6", "i4", "i7", "i3"]
        assert found == live.get("/similar", item_id="i5", k=4).json()

    def test_batch_is_each_alone(self, live: Live) -> None:
        found = live.post("/similar/batch", item_ids=["i5", "i9", "i5"], k=3).json()["answers"]
        assert found == [
            live.get("/similar", item_id=i, k=3).json()["items"] for i in ("i5", "i9", "i5")
        ]

    def test_unknown(self, live: Live) -> None:
        for answer in (
            live.get("/similar", item_id="none"),
            live.post("/similar", item_id=404),
            live.post("/similar/batch", item_ids=["i5", "none"]),
        ):
            assert answer.status_code == 404
            assert "There is no item" in answer.json()["detail"]


class TestItems:
    def test_by_id(self, live: Live) -> None:
        found = live.get("/items/i5").json()
        assert found["item"]["title"] == "Film number 5"
        assert "score" not in found["item"]
        slashed = live.client.get("/items/with%2Fslash%20%C3%BC")
        assert slashed.json()["item"]["item_id"] == "with/slash ü"
        assert live.get("/items/i999").status_code == 404
        assert live.get("/items/").status_code == 404

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("fargo", ["i0"]),
            ("NUMBER film 13", ["i13"]),
            ("number 2", ["with/slash ü", "i12", "i20", "i21", "i22", "i23"]),
            ("i7", ["i7"]),
            ("(1996", ["i0"]),
            ("%_.*", []),
            ("", []),
            ("  ", []),
        ],
    )
    def test_search(self, live: Live, query: str, found: list[str]) -> None:
        assert ids(live.get("/items", query=query).json()["items"]) == found

    def test_id_first_then_beginnings(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live.bundle, "item_id", lambda row: "film" if row == 9 else f"i{row}")
        monkeypatch.setattr(live.bundle, "find_item", lambda raw: 9 if raw == "film" else None)
        found = ids(live.get("/items", query="film", limit=3).json()["items"])
        assert found == ["film", "i2", "i3"]

    def test_titles_that_are_missing(self, live: Live) -> None:
        from towermill.pipelines.server.service.search_items import ItemSearch

        class Untitled(CircleBundle):
            def item_column(self, name: str) -> Any:
                import pyarrow as pa

                values = super().item_column(name).to_pylist()
                return pa.array([None, *values[1:]])

        untitled = Untitled(live.path)
        assert ItemSearch(untitled).find("fargo", 5) == []
        assert ItemSearch(untitled).find("number 13", 5) == [13]
        untitled.title = None
        assert ItemSearch(untitled).find("I1", 3) == [1, 10, 11]


class TestExact:
    """Numbers that JavaScript would round are text where pages make links from them."""

    def test_ids_beyond_2_53(self) -> None:
        from towermill.pipelines.server.routes.catalogue import exact

        row = {"user_id": 2**53, "least": -(2**60), "safe": 2**53 - 1, "age": 3.5, "name": "x"}
        assert exact(row) == row | {"user_id": str(2**53), "least": str(-(2**60))}

    def test_ids_with_line_ends_and_slashes(self, live: Live) -> None:
        for text in ("a%0Ab", "a%0A", "%0A", "a%2Fb%0D%0A", "%E2%80%A8"):
            answer = live.client.get(f"/users/{text}")
            assert answer.status_code == 404
            assert answer.json()["detail"].startswith("There is no user")


class TestUsers:
    def test_sample_is_from_all_over(self, live: Live) -> None:
        found = live.get("/users", limit=4).json()["users"]
        assert [user["user_id"] for user in found] == [1, 10, 20, 30]
        assert found[0]["age"] == 20

    def test_by_id(self, live: Live) -> None:
        assert [u["user_id"] for u in live.get("/users", query="7").json()["users"]] == [7]
        assert live.get("/users", query="700").json()["users"] == []
        found = live.get("/users", query="2", limit=4).json()["users"]
        assert [user["user_id"] for user in found] == [2, 20, 21, 22]
        found = live.get("/users/3", limit=2).json()
        assert found["user"] == {"user_id": 3, "age": 22, "occupation": None}
        assert ids(found["history"]) == ["i21", "i22"]
        assert found["history_length"] == 3
        assert live.get("/users/31").status_code == 404
