from __future__ import annotations

import asyncio

from tempogram.engine.alerts.channel import Accepted, Away, Channel, Pending, Refused, Tried
from tempogram.engine.alerts.trial import TRIAL_S, Trial
from tempogram.engine.ports.alert_store import Notice
from tests.engine.alerts.values import ListChannel
from tests.fakes import Clock
from tests.virtual_time import in_virtual_time


class Silent:
    async def send(self, notice: Notice) -> Tried:
        await asyncio.sleep(3_600)
        return Accepted()


def test_each_channel_is_tried_and_asked_until_it_knows() -> None:
    async def run() -> tuple[dict[str, Tried], list[str], float]:
        chat = ListChannel(Pending(), Pending())
        channels: dict[str, Channel] = {
            "chat": chat,
            "email": ListChannel(Refused("550")),
            "slack": Silent(),
            "webhook": ListChannel(*[Pending()] * 99),
        }
        tried = await Trial(channels, clock=Clock())()
        return tried, [each.id for each in chat.tried], asyncio.get_running_loop().time()

    tried, ids, took_s = in_virtual_time(run())
    assert tried == {
        "chat": Accepted(),
        "email": Refused("550"),
        "slack": Away("it did not answer within 20 s"),
        "webhook": Pending(),
    }
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert took_s == TRIAL_S
