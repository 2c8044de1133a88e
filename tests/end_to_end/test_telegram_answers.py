"""What Telegram answers has its full consequence: the whole program, and a simulated Telegram that answers so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramServerError
from pydantic import SecretStr
from structlog.testing import capture_logs

from tempogram.bot import wiring
from tempogram.bot.config.settings import Settings
from tempogram.bot.runtime.lifecycle import running
from tempogram.simulator import Fault, Simulator, SimulatorSettings
from tempogram.simulator.server.server import Served
from tests.end_to_end.program import ADMIN_TOKEN, ECHO, TOKEN

NEW_TOKEN = "42:another-token-of-the-test-bot"
GROUP, OLD_GROUP = -1_001_000_000_005, -5
WINDOW_S = 2
"""Of a group, here and there: a minute takes too long."""
BLOCKED = "Forbidden: bot was blocked by the user"
WITHIN_S = 20.0


@dataclass
class Tempogram:
    """The program in this process, its API, and Telegram."""

    telegram: Simulator
    api: httpx.AsyncClient

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        response = await self.api.request(method, path, json=body)
        return response.status_code, response.json()

    async def submit(self, chat_id: int | str, text: str = "hello", **more: Any) -> str:
        status, accepted = await self.call("POST", "/messages", {"bot": 42, "chat_id": chat_id, "text": text} | more)
        assert status == 202, accepted
        return str(accepted["id"])

    async def submit_album(self, items: int) -> str:
        media = [{"type": "photo", "media": f"p{number}", "caption": str(number)} for number in range(items)]
        album = {"bot": 42, "chat_id": GROUP, "method": "sendMediaGroup", "params": {"media": media}}
        return str((await self.call("POST", "/messages", album))[1]["id"])

    async def message(self, message_id: str) -> dict[str, Any]:
        return dict((await self.call("GET", f"/messages/{message_id}"))[1])

    async def status(self, message_id: str) -> str:
        return str((await self.message(message_id))["status"])

    async def becomes(self, message_id: str, status: str) -> dict[str, Any]:
        async def is_so() -> bool:
            return await self.status(message_id) == status

        await until(is_so)
        return await self.message(message_id)

    async def is_empty(self) -> bool:
        return bool((await self.call("GET", "/queue/stats"))[1]["total_queued"] == 0)

    def shown(self, chat_id: int, what: str = "text") -> list[str]:
        return [each.get(what, "") for each in self.telegram.telegram.world.messages.of_chat(chat_id, bot_id=None)]

    def calls(self, method: str = "") -> list[dict[str, Any]]:
        kept = self.telegram.telegram.record.calls(since=0, limit=100_000)
        return [each for each in kept if each["method"] == method or not method]


async def until(holds: Callable[[], Any]) -> None:
    """Poll until it holds: a poller or a worker brings it about, and neither can be awaited."""
    until_s = time.monotonic() + WITHIN_S
    while not await holds():
        assert time.monotonic() < until_s, f"{holds} still does not hold after {WITHIN_S} s"
        await asyncio.sleep(0.02)


@pytest.fixture
async def telegram() -> AsyncIterator[Served]:
    simulator = Simulator(SimulatorSettings(accept_any_token=False, group_window_ms=WINDOW_S * 1_000))
    simulator.add_bot(TOKEN, "test_bot")
    async with simulator.serve() as served:
        yield served


@asynccontextmanager
async def tempogram(telegram: Served, directory: Path, **others: Any) -> AsyncIterator[Tempogram]:
    usual: dict[str, Any] = {"behaviours": (ECHO,), "telegram_group_limit_window_s": WINDOW_S}
    settings = Settings(
        telegram_api_url=telegram.url,
        bot_tokens=(SecretStr(TOKEN),),
        admin_token=SecretStr(ADMIN_TOKEN),
        data_dir=directory,
        **usual | others,
    )
    async with wiring.program(settings) as program, running(program):
        program.front.updates.update_sources.start()
        transport = httpx.ASGITransport(app=wiring.app_of(program))
        bearer = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://tempogram", headers=bearer) as api:
                yield Tempogram(telegram.simulator, api)
        finally:
            await program.front.updates.update_sources.stop()


# An album of which some items arrive


@pytest.mark.parametrize(("delivered", "method"), [(3, "sendMediaGroup"), (4, "sendPhoto")])
async def test_only_the_rest_of_a_half_delivered_album_is_sent_after_the_hold(
    telegram: Served, tmp_path: Path, delivered: int, method: str
) -> None:
    telegram.simulator.order(
        Fault(kind="400_429", method="sendMediaGroup", delivered=delivered, times=1, retry_after_s=1)
    )

    async with tempogram(telegram, tmp_path) as running_program:
        sent = await running_program.becomes(await running_program.submit_album(5), "sent")

        assert running_program.shown(GROUP, "caption") == ["0", "1", "2", "3", "4"]
        assert (sent["delivered_items"], sent["method"]) == (delivered, method)
        assert [(each["outcome"], each["delivered_items"]) for each in sent["attempts"]] == [
            ("halfsent", delivered),
            ("sent", None),
        ]
    assert telegram.simulator.report().broke_no_window


async def test_a_restart_during_the_hold_sends_no_item_twice(telegram: Served, tmp_path: Path) -> None:
    telegram.simulator.order(Fault(kind="400_429", method="sendMediaGroup", delivered=3, times=1, retry_after_s=2))

    async with tempogram(telegram, tmp_path) as first:
        message_id = await first.submit_album(5)

        async def is_half_sent() -> bool:
            return bool((await first.message(message_id))["delivered_items"] == 3)

        await until(is_half_sent)
    async with tempogram(telegram, tmp_path) as second:
        await second.becomes(message_id, "sent")

        assert second.shown(GROUP, "caption") == ["0", "1", "2", "3", "4"]


async def test_a_replay_of_an_album_with_a_bad_item_sends_only_the_rest(telegram: Served, tmp_path: Path) -> None:
    telegram.simulator.order(Fault(kind="400_item", delivered=2, times=1))

    async with tempogram(telegram, tmp_path) as running_program:
        message_id = await running_program.submit_album(5)
        dead = await running_program.becomes(message_id, "dead")
        shown = running_program.shown(GROUP, "caption")
        await running_program.call("POST", "/queue/dlq/replay", {"ids": [message_id]})
        await running_program.becomes(message_id, "sent")

        assert dead["reason"].startswith("the first 2 of 5 items were delivered, the others were not: Bad Request")
        assert shown == ["0", "1"]
        assert running_program.shown(GROUP, "caption") == ["0", "1", "2", "3", "4"]


# A group that migrates, and a channel that has a name


async def test_waiting_messages_of_a_migrated_group_arrive_at_its_new_id_in_order(
    telegram: Served, tmp_path: Path
) -> None:
    texts = [f"no. {number}" for number in range(50)]

    async with tempogram(telegram, tmp_path) as running_program:
        await running_program.call("PATCH", "/bots/42", {"paused": True})
        for text in texts:
            await running_program.submit(OLD_GROUP, text)
        new_id = telegram.simulator.migrate(OLD_GROUP)
        await running_program.call("PATCH", "/bots/42", {"paused": False})
        await until(running_program.is_empty)

        assert running_program.shown(new_id) == texts
        assert running_program.shown(OLD_GROUP) == []
    report = telegram.simulator.report()
    assert report.by_code["400"] == 1
    assert report.broke_no_window
    assert report.throttled == {}


async def test_a_channel_has_one_window_for_its_username_and_its_id(telegram: Served, tmp_path: Path) -> None:
    telegram.simulator.add_chat("channel", "News", chat_id=GROUP, username="News")

    async with tempogram(telegram, tmp_path) as running_program:
        await running_program.becomes(await running_program.submit("@News"), "sent")
        for _ in range(15):
            for chat_id in ("@news", "@NEWS", GROUP):
                await running_program.submit(chat_id)
        await until(running_program.is_empty)

        assert len(running_program.shown(GROUP)) == 46
    report = telegram.simulator.report()
    assert report.broke_no_window
    assert report.throttled == {}


# A person who blocks the bot and comes back


async def test_a_block_ends_waiting_messages_and_refuses_new_ones_until_the_user_writes(
    telegram: Served, tmp_path: Path
) -> None:
    anna, bot = telegram.simulator.add_user("Anna"), telegram.simulator.telegram.world.bots[42]

    async with tempogram(telegram, tmp_path) as running_program:
        await running_program.call("PATCH", "/bots/42", {"paused": True})
        waiting = [await running_program.submit(anna.user_id, text) for text in "abc"]
        telegram.simulator.order(Fault(kind="blocked", chat_id=anna.user_id, times=1))
        await running_program.call("PATCH", "/bots/42", {"paused": False})
        ends = [await running_program.becomes(each, "dead") for each in waiting]
        refused = await running_program.call("POST", "/messages", {"bot": 42, "chat_id": anna.user_id, "text": "d"})
        with pytest.raises(TelegramForbiddenError, match=BLOCKED):
            await Bot(TOKEN).send_message(anna.user_id, "e")
        anna.says(bot, "I am back")

        async def is_accepted() -> bool:
            body = {"bot": 42, "chat_id": anna.user_id, "text": "f"}
            return (await running_program.call("POST", "/messages", body))[0] == 202

        await until(is_accepted)
        await until(running_program.is_empty)

        assert {each["reason"] for each in ends} == {BLOCKED}
        assert (refused[0], refused[1]["error"]["code"]) == (409, "chat_unreachable")
        assert BLOCKED in refused[1]["error"]["message"]
        assert set(running_program.shown(anna.user_id)) == {"I am back", "f"}  # what she says is echoed
        assert [call["code"] for call in running_program.calls("sendMessage")].count(403) == 1


async def test_a_block_known_from_an_update_costs_no_call_also_after_a_restart(
    telegram: Served, tmp_path: Path
) -> None:
    anna, bot = telegram.simulator.add_user("Anna"), telegram.simulator.telegram.world.bots[42]
    body = {"bot": 42, "chat_id": anna.user_id, "text": "hello"}

    async with tempogram(telegram, tmp_path) as first:
        await first.becomes(await first.submit(anna.user_id), "sent")
        later = await first.submit(anna.user_id, "later", send_at=int(time.time()) + 3_600)
        anna.blocks(bot)
        await first.becomes(later, "dead")
    async with tempogram(telegram, tmp_path) as second:
        status, accepted = await second.call("POST", "/messages", body)
        anna.unblocks(bot)

        async def is_accepted() -> bool:
            return (await second.call("POST", "/messages", body))[0] == 202

        await until(is_accepted)
        await until(second.is_empty)

        assert (status, accepted["error"]["code"]) == (409, "chat_unreachable")
        assert second.shown(anna.user_id) == ["hello", "hello"]
    assert "403" not in telegram.simulator.report().by_code


async def test_a_bot_without_updates_here_reaches_a_user_who_came_back(telegram: Served, tmp_path: Path) -> None:
    anna, bot = telegram.simulator.add_user("Anna"), telegram.simulator.telegram.world.bots[42]

    async with tempogram(telegram, tmp_path) as first:
        await first.call("PATCH", "/bots/42", {"updates": "none"})
        anna.blocks(bot)
        lost = await first.submit(anna.user_id, "lost")
        await first.becomes(lost, "dead")
        anna.unblocks(bot)
        await first.becomes(await first.submit(anna.user_id, "welcome back"), "sent")
    async with tempogram(telegram, tmp_path) as second:
        await second.call("POST", "/queue/dlq/replay", {"ids": [lost]})
        await second.becomes(lost, "sent")

        assert second.shown(anna.user_id) == ["welcome back", "lost"]


# A token that is revoked


async def test_a_revoked_token_keeps_its_messages_and_a_new_one_sends_them(telegram: Served, tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with tempogram(telegram, tmp_path) as running_program:
            telegram.simulator.add_bot(NEW_TOKEN, "test_bot")
            waiting = [await running_program.submit(chat_id) for chat_id in range(1, 21)]

            async def is_paused() -> bool:
                return bool((await running_program.call("GET", "/bots"))[1]["bots"][0]["paused"])

            await until(is_paused)
            paused_by = (await running_program.call("GET", "/bots/42"))[1]["paused_by"]
            kept = {await running_program.status(each) for each in waiting}
            added = await running_program.call("POST", "/bots", {"token": NEW_TOKEN})
            await until(running_program.is_empty)

            assert paused_by == "token_revoked"
            assert kept == {"queued"}
            assert (added[0], added[1]["paused"], added[1]["paused_by"]) == (201, False, None)
            assert {await running_program.status(each) for each in waiting} == {"sent"}
    assert [each["kind"] for each in logs if each["event"] == "alert"] == ["token_revoked"]


async def test_a_revoked_token_ends_the_polling_until_it_is_valid(telegram: Served, tmp_path: Path) -> None:
    """It polled on every three seconds, with a warning each time."""
    telegram.simulator.order(Fault(kind="revoked", method="getUpdates"))
    bot, anna = telegram.simulator.telegram.world.bots[42], telegram.simulator.add_user("Anna")

    with capture_logs() as logs:
        async with tempogram(telegram, tmp_path) as running_program:

            async def is_paused() -> bool:
                return bool((await running_program.call("GET", "/bots/42"))[1]["paused_by"] == "token_revoked")

            async def is_answered() -> bool:
                return "hello" in [each["text"] for each in running_program.calls("sendMessage")]

            await until(is_paused)
            anna.says(bot, "hello")
            telegram.simulator.telegram.faults.clear()
            added = await running_program.call("POST", "/bots", {"token": TOKEN})
            await until(is_answered)

    assert (added[0], added[1]["paused_by"]) == (201, None)
    of_it = [each["event"] for each in logs if each["event"] in {"alert", "polling_stopped", "poll_refused"}]
    assert of_it == ["alert", "polling_stopped"]


async def test_a_new_token_does_not_end_the_pause_of_an_operator(telegram: Served, tmp_path: Path) -> None:
    async with tempogram(telegram, tmp_path) as running_program:
        await running_program.call("PATCH", "/bots/42", {"paused": True})
        telegram.simulator.add_bot(NEW_TOKEN, "test_bot")

        _, accepted = await running_program.call("POST", "/bots", {"token": NEW_TOKEN})

        assert (accepted["paused"], accepted["paused_by"]) == (True, "operator")


# A wait of hours


async def test_a_retry_after_of_hours_holds_only_its_chat_and_survives_a_restart(
    telegram: Served, tmp_path: Path
) -> None:
    telegram.simulator.order(Fault(kind="429", chat_id=77, times=1, retry_after_s=10_000))

    with capture_logs() as logs:
        async with tempogram(telegram, tmp_path) as first:
            held = await first.submit(77)
            expiring = await first.submit(77, "too late", expires_in_s=1)

            async def is_held() -> bool:
                status, accepted = await first.call("GET", f"/messages/{held}/explain")
                return status == 200 and accepted["waits_at"] == "chat_held"

            await until(is_held)
            for chat_id in (78, 79):
                await first.becomes(await first.submit(chat_id), "sent")
            await first.becomes(expiring, "expired")
    async with tempogram(telegram, tmp_path) as second:
        await second.becomes(await second.submit(80), "sent")
        message = await second.message(held)
        _, accepted = await second.call("GET", f"/messages/{held}/explain")

    assert (message["status"], message["attempt"]) == ("queued", 0)
    assert accepted["waits_at"] == "chat_held"
    assert [each["chat_id"] for each in logs if each["event"] == "alert"] == [77]
    assert telegram.simulator.report().by_code["429"] == 1


# A Telegram that takes its time


async def test_an_awaited_call_waits_for_telegram_longer_than_for_a_place(telegram: Served, tmp_path: Path) -> None:
    telegram.simulator.order(Fault(kind="latency", delay_ms=700, where="out"))

    async with tempogram(telegram, tmp_path, telegram_rate_limit_wait=0.2) as running_program:
        answered = await Bot(TOKEN).send_message(7, "hello")
        await running_program.call("PATCH", "/bots/42", {"paused": True})
        waiting = await Bot(TOKEN).send_message(8, "hello")

        assert answered.message_id > 0
        assert waiting.message_id == -1


# Calls whose effect came and whose answer did not

SOON = {"telegram_base_delay": 0.1, "telegram_max_delay": 0.1}


async def test_an_edit_that_took_effect_without_an_answer_is_sent_and_returns_true(
    telegram: Served, tmp_path: Path
) -> None:
    async with tempogram(telegram, tmp_path, **SOON) as running_program:
        bot = Bot(TOKEN)
        first = await bot.send_message(7, "before")
        telegram.simulator.order(Fault(kind="reset_after", method="editMessageText", times=1))

        edited = await bot.edit_message_text("after", chat_id=7, message_id=first.message_id)

        assert edited is True
        assert running_program.shown(7) == ["after"]
        assert [call["code"] for call in running_program.calls("editMessageText")] == [200, 400]


async def test_an_edit_that_changes_nothing_is_refused_as_before(telegram: Served, tmp_path: Path) -> None:
    async with tempogram(telegram, tmp_path, **SOON):
        bot = Bot(TOKEN)
        first = await bot.send_message(7, "the same")

        with pytest.raises(TelegramBadRequest, match="message is not modified"):
            await bot.edit_message_text("the same", chat_id=7, message_id=first.message_id)


async def test_an_edit_whose_answer_was_lost_before_a_restart_is_sent_after_it(
    telegram: Served, tmp_path: Path
) -> None:
    edit = {"bot": 42, "chat_id": 7, "method": "editMessageText"}
    telegram.simulator.order(Fault(kind="reset_after", method="editMessageText", times=1))

    async with tempogram(telegram, tmp_path, telegram_base_delay=2, telegram_max_delay=2) as first:
        sent = await first.becomes(await first.submit(7, "before"), "sent")
        params = {"message_id": sent["telegram_message_id"], "text": "after"}
        message_id = (await first.call("POST", "/messages", edit | {"params": params}))[1]["id"]

        async def is_tried() -> bool:
            return bool((await first.message(message_id))["attempts"])

        await until(is_tried)
    async with tempogram(telegram, tmp_path) as second:
        edited = await second.becomes(message_id, "sent")

        assert edited["telegram_message_id"] == sent["telegram_message_id"]
        assert [each["outcome"] for each in edited["attempts"]] == ["uncertain", "sent"]


async def test_a_message_that_its_chat_removes_at_once_is_sent_once(telegram: Served, tmp_path: Path) -> None:
    telegram.simulator.order(Fault(kind="removed"))

    async with tempogram(telegram, tmp_path, **SOON) as running_program:
        sent = await running_program.becomes(await running_program.submit(7), "sent")
        with pytest.raises(TelegramServerError, match="sent message was immediately deleted"):
            await Bot(TOKEN).send_message(8, "hello")

        assert len(running_program.calls("sendMessage")) == 2
        assert sent["telegram_message_id"] is None
        assert sent["reason"] == "Internal Server Error: sent message was immediately deleted"


# What names a message of a group that has moved


async def test_replies_that_wait_while_their_group_moves_arrive_without_the_quote(
    telegram: Served, tmp_path: Path
) -> None:
    async with tempogram(telegram, tmp_path) as running_program:
        old = (await running_program.becomes(await running_program.submit(OLD_GROUP), "sent"))["telegram_message_id"]
        await running_program.call("PATCH", "/bots/42", {"paused": True})
        quotes = [{"reply_parameters": {"message_id": old}}, {"reply_to_message_id": old}]
        replies = [
            await running_program.submit(OLD_GROUP, f"no. {number}", params=quote)
            for number, quote in enumerate(quotes)
        ]
        edit = {"method": "editMessageText", "params": {"message_id": old, "text": "b"}}
        edited = (await running_program.call("POST", "/messages", {"bot": 42, "chat_id": OLD_GROUP} | edit))[1]["id"]
        new_id = telegram.simulator.migrate(OLD_GROUP)
        await running_program.call("PATCH", "/bots/42", {"paused": False})
        ends = [await running_program.becomes(each, "sent") for each in replies]
        dead = await running_program.becomes(edited, "dead")

        shown = list(telegram.simulator.telegram.world.messages.of_chat(new_id))
        assert [each["text"] for each in shown] == ["no. 0", "no. 1"]
        assert not any("reply_to_message" in each for each in shown)  # another message has the number by now
        assert [each["attempt"] for each in ends] == [1, 1]
        assert dead["reason"] == (
            "editMessageText names a message that stayed behind: "
            "the group has become a supergroup since, in which its messages have no such ids"
        )


# The user who triggered a message


async def test_a_user_named_by_a_client_has_one_limit_over_all_chats(telegram: Served, tmp_path: Path) -> None:
    async with tempogram(telegram, tmp_path, telegram_user_limit=1) as running_program:
        first = await running_program.submit(1, user_id=501)
        await running_program.becomes(first, "sent")
        _, accepted = await running_program.call(
            "POST", "/messages/batch", [{"bot": 42, "chat_id": 2, "text": "again", "user_id": 501}]
        )
        await running_program.becomes(await running_program.submit(3, user_id=502), "sent")
        _, why = await running_program.call("GET", f"/messages/{accepted[0]['id']}/explain")

        assert await running_program.status(accepted[0]["id"]) == "queued"
        assert why["waits_at"] == "user_window"
