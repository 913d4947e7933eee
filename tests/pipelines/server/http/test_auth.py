"""The API key: what asks for it, and where it is from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from live import Live

from towermill.errors import SetupError
from towermill.pipelines.server.settings import Settings, read_api_key


class TestKey:
    def test_asked_for_everything_but_health_and_page(self, serve: Callable[..., Live]) -> None:
        live = serve(api_key="s3cret")
        document = live.get("/openapi.json").json()
        open_to_all = {"/healthz", "/readyz"}
        for path, methods in document["paths"].items():
            for method, told in methods.items():
                address = path.replace("{item_id}", "i1").replace("{user_id}", "1")
                for key, refused in ((None, True), ("wrong", True), ("é", True), ("s3cret", False)):
                    headers = {} if key is None else {"X-API-Key": key.encode()}
                    del live.client.headers["X-API-Key"]
                    answer = live.client.request(
                        method, address, headers=headers, json={} if method == "post" else None
                    )
                    live.client.headers["X-API-Key"] = "s3cret"
                    wanted = refused and path not in open_to_all
                    assert (answer.status_code == 401) == wanted, (path, key)
                    if wanted:
                        assert answer.headers["WWW-Authenticate"]
                assert (
                    ("security" in told)
                    == ("401" in told["responses"])
                    == (path not in open_to_all)
                )
        for path in ("/", "/docs", "/page/page.js", "/openapi.json"):
            assert live.client.get(path, headers={"X-API-Key": ""}).status_code == 200

    def test_reload_by_key(self, serve: Callable[..., Live]) -> None:
        live = serve(api_key="s3cret")
        assert live.post("/admin/reload").json() == {"bundle": "one", "changed": False}


class TestReadKey:
    def test_file_before_variable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TOWERMILL_API_KEY", raising=False)
        assert read_api_key(None) is None
        monkeypatch.setenv("TOWERMILL_API_KEY", "of the variable")
        assert read_api_key(None) == "of the variable"
        (tmp_path / "key").write_text("of-the-file\n")
        assert read_api_key(tmp_path / "key") == "of-the-file"

    @pytest.mark.parametrize("content", [b"", b"\n", b"\xff", b"a\x00b", "schlüssel".encode()])
    def test_no_key(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(SetupError, match="key"):
            read_api_key(tmp_path / "key")
        with pytest.raises(SetupError, match="Cannot read"):
            read_api_key(tmp_path / "none")

    def test_empty_variable_is_a_mistake(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOWERMILL_API_KEY", "")
        with pytest.raises(SetupError, match="TOWERMILL_API_KEY"):
            read_api_key(None)


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("max_k", 9),
            ("max_batch", 0),
            ("wait", -1.0),
            ("timeout", 0.0),
            ("timeout", float("nan")),
            ("watch", 0.0),
        ],
    )
    def test_out_of_range(self, name: str, value: float) -> None:
        with pytest.raises(SetupError, match=f"`{name}`"):
            Settings(**{name: value})  # type: ignore[arg-type]

    def test_a_call_has_to_fit_into_the_queue(self) -> None:
        with pytest.raises(SetupError, match="max_queue"):
            Settings(max_queue=10, max_queries=11)
