"""The change of ``SECRET_KEY`` over the API."""

from __future__ import annotations

from tests.api.fakes import World


async def test_a_process_without_a_former_key_answers_a_rotation_with_a_conflict(world: World) -> None:
    answer = await world.client.post("/keys/rotate")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert "there is no FORMER_SECRET_KEY" in answer.json()["error"]["message"]
