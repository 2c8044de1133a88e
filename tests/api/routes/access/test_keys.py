"""The change of ``SECRET_KEY`` over the API."""

from __future__ import annotations

from tests.api.fakes import World


async def test_a_process_without_a_former_key_answers_a_rotation_with_a_conflict(world: World) -> None:
    answer = await world.client.post("/keys/rotate")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert "there is no FORMER_SECRET_KEY" in answer.json()["error"]["message"]


async def test_what_is_under_which_key_is_counted(world: World) -> None:
    answer = (await world.client.get("/keys")).json()

    assert {name: answer[name] for name in ("has_former_key", "is_changing", "present", "former", "unreadable")} == {
        "has_former_key": False,
        "is_changing": False,
        "present": 2,
        "former": 0,
        "unreadable": 0,
    }
    assert answer["api_tokens"] == {"present": 0, "former": 0, "unknown": 0, "other": 0}
