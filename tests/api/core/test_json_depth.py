"""JSON that is deeper than what comes after the parser can follow is refused, wherever it comes in."""

from __future__ import annotations

import pytest

from tempogram.api.core.json_depth import DEPTH_MAX
from tests.api.door import DoorWorld
from tests.api.fakes import BOT_ID, BOT_TOKEN

JSON = {"Content-Type": "application/json"}


def nested(depth: int, *, by: str) -> str:
    opened, closed = by.split()
    return opened * depth + "1" + closed * depth


@pytest.mark.parametrize("by", ["[ ]", '{"a": }', '[{"a": }]'])
@pytest.mark.parametrize("depth", [DEPTH_MAX, 240, 480, 900])
async def test_json_that_is_too_deep_is_refused_wherever_it_comes_in(depth: int, by: str) -> None:
    world, deep = DoorWorld(), f'{{"a": {nested(depth, by=by)}}}'
    message = f'{{"bot": "{BOT_ID}", "chat_id": 7, "method": "sendMessage", "params": {deep}}}'
    form = {"bot": str(BOT_ID), "chat_id": "7", "method": "sendPhoto", "params": deep}
    photo = {"photo": ("cat.jpg", b"a cat")}

    responses = [
        await world.client.post("/messages", content=message, headers=JSON),
        await world.client.post("/messages", data=form, files=photo),
        await world.anonymous.post(f"/bot{BOT_TOKEN}/sendMessage", content=deep, headers=JSON),
        await world.client.patch(f"/bots/{BOT_ID}", content=f'{{"behaviours": {deep}}}', headers=JSON),
        await world.client.patch("/limits", content=deep, headers=JSON),
    ]

    assert [each.status_code for each in responses] == [400, 422, 400, 400, 400]
    assert not world.storage.states


async def test_json_that_is_as_deep_as_may_be_is_taken() -> None:
    world = DoorWorld()
    inner = nested(DEPTH_MAX - 2, by="[ ]")  # the message and its parameters are the other two
    message = f'{{"bot": "{BOT_ID}", "chat_id": 7, "method": "sendMessage", "params": {{"a": {inner}}}}}'

    assert (await world.client.post("/messages", content=message, headers=JSON)).status_code == 202
