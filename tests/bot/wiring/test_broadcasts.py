"""Messages of broadcasts, as they are made for each recipient."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
import pytest
from structlog.testing import capture_logs

from tempogram.api.core.ports import Refusal
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.bot.wiring.broadcasts import composed
from tempogram.engine.model.broadcasts import Addressee, Broadcast, Content, Outcome
from tempogram.engine.model.messages import Outgoing
from tempogram.storage.database.database import Database
from tests.broadcasts import BroadcastWorld, plan
from tests.storage.backends import OnSqlite

BREAKS_OUT = '", "url": "https://evil.example"}, {"text": "'

KEYBOARD = json.dumps({"inline_keyboard": [[{"text": "For {title}", "url": "https://example.org"}]]})


class TestBroadcastMessages(OnSqlite):
    @pytest.fixture
    def world(self, database: Database) -> BroadcastWorld:
        world = BroadcastWorld(database)
        made = composed(MethodComposer(clock=world.clock, ids=world.ids))
        world.compose = made  # type: ignore[method-assign, assignment]
        world.process()
        return world

    async def test_a_title_stays_within_its_place_in_parameters_that_are_json_in_a_text(
        self, world: BroadcastWorld
    ) -> None:
        await world.add_chats([7], title=BREAKS_OUT)
        broadcast = await world.started(
            plan(content=Content(method="sendMessage", params={"text": "Hello", "reply_markup": KEYBOARD}))
        )

        await world.feeder.step()

        (message,) = (await world.broker.lease(worker_id="w", slots=1)).leases
        markup = msgspec.json.decode(message.message.params)["reply_markup"]
        assert markup == {"inline_keyboard": [[{"text": f"For {BREAKS_OUT}", "url": "https://example.org"}]]}
        assert (await world.board.get(broadcast.id)).outcomes == {}

    async def test_a_text_that_is_json_by_itself_stays_a_text(self, world: BroadcastWorld) -> None:
        await world.add_chats([7], title='"')
        await world.started(plan(content=Content(method="sendMessage", params={"text": '["{title}"]'})))

        await world.run_until_idle()

        assert world.texts == {7: '["""]'}

    async def test_a_field_that_stands_for_a_whole_parameter_of_json_is_refused(self, world: BroadcastWorld) -> None:
        markup = plan(content=Content(method="sendMessage", params={"text": "Hello", "reply_markup": "{title}"}))

        with pytest.raises(Refusal, match="reply_markup"):
            await world.board.create("news", markup)

    async def test_the_log_has_nothing_of_what_was_refused(self, world: BroadcastWorld) -> None:
        await world.add_chats([7], title="Anna's secret")
        broadcast = await world.started()

        def refuse(_broadcast: Broadcast, _addressee: Addressee, params: Mapping[str, object]) -> Outgoing:
            return made(broadcast, Addressee(chat_id=7), {**params, "reply_markup": params["text"]})

        made = composed(MethodComposer(clock=world.clock, ids=world.ids))
        world.compose = refuse  # type: ignore[method-assign, assignment]
        world.process()
        with capture_logs() as logs:
            await world.run_until_idle()

        (warned,) = (each for each in logs if each["event"] == "broadcast_recipients_refused")
        assert "secret" not in str(warned)
        assert warned["reason"].startswith("sendMessage: reply_markup is refused: ")
        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.REFUSED: 1}
