from __future__ import annotations

from typing import Any

import pytest

from tempogram.bot.commands.client import Client

ADA = {"id": "0a1b", "name": "Ada", "role": "viewer", "is_active": True, "has_password": False}


class Api:
    """Answers what a test sets, by method and path, and notes what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[tuple[str, str], Any] = {("GET", "/users"): {"users": [ADA]}}

    def answer(self, method: str, path: str, body: Any) -> Any:
        self.asked.append((method, path, body))
        return self.answers[method, path]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    monkeypatch.setenv("ADMIN_TOKEN", "an-admin-token-for-tests")
    monkeypatch.setattr(Client, "get", lambda _, path, params=(): api.answer("GET", path, list(params)))
    monkeypatch.setattr(Client, "post", lambda _, path, body: api.answer("POST", path, body))
    monkeypatch.setattr(Client, "patch", lambda _, path, body: api.answer("PATCH", path, body))
    monkeypatch.setattr(Client, "delete", lambda _, path: api.answer("DELETE", path, None))
    return api
