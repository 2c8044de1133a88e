from __future__ import annotations

from dataclasses import replace

from tempogram.engine.alerts.channel import Away, Refused
from tempogram.engine.alerts.trial import Trial
from tests.api.fakes import World
from tests.engine.alerts.values import ListChannel, alert
from tests.fakes import START_MS


async def test_open_alerts_are_shown_with_their_age_and_whether_they_were_said(world: World) -> None:
    await world.dependencies.alerts.open(
        [alert("a", opened_at_ms=START_MS - 5_000, said_at_ms=START_MS), alert("b"), alert("c", key="d")]
    )
    await world.dependencies.alerts.end(["c"], START_MS)

    shown = (await world.client.get("/alerts")).json()["alerts"]

    assert [(each["key"], each["is_said"]) for each in shown] == [("a", True), ("b", False)]
    assert shown[0] == {
        "kind": "task_stalled",
        "title": "Task stalled",
        "key": "a",
        "text": "task a is stalled",
        "since_ms": START_MS - 5_000,
        "age_seconds": (world.clock() - START_MS) // 1_000 + 5,
        "is_said": True,
    }


async def test_a_test_says_of_each_channel_what_came_of_it(world: World) -> None:
    channels = {
        "email": ListChannel(Refused("it answered with 554")),
        "slack": ListChannel(),
        "webhook": ListChannel(Away("it answered with 503")),
    }
    world.app.state.dependencies = replace(world.dependencies, alert_trial=Trial(channels, clock=world.clock))

    answer = (await world.client.post("/alerts/test")).json()

    assert answer["channels"] == [
        {"channel": "email", "outcome": "refused", "reason": "it answered with 554"},
        {"channel": "slack", "outcome": "accepted", "reason": ""},
        {"channel": "webhook", "outcome": "away", "reason": "it answered with 503"},
    ]
