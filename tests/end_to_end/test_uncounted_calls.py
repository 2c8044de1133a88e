"""Uncounted calls obey Telegram, and are tried again where that is safe: the whole program, Telegram simulated."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramNetworkError
from aiogram.types import BufferedInputFile, ChatInviteLink, LabeledPrice

from tempogram.simulator import Fault
from tempogram.simulator.server.server import Served
from tests.end_to_end.program import TOKEN
from tests.end_to_end.test_telegram_answers import GROUP, Tempogram, telegram, tempogram, until

__all__ = ["telegram"]  # the fixture

SOON = {"telegram_base_delay": 0.05}
FAULTS = [
    Fault(kind="429", method="*", retry_after_s=1, times=1),
    Fault(kind="5xx", method="*", status=500, times=2),
    Fault(kind="5xx", method="*", status=502, times=1),
    Fault(kind="reset_before", method="*", times=1),
    Fault(kind="reset_after", method="*", times=1),
]


def times(running_program: Tempogram, method: str) -> int:
    return len(running_program.calls(method))


def of(fault: Fault, method: str, **more: Any) -> Fault:
    return Fault(
        kind=fault.kind,
        method=method,
        times=fault.times,
        status=fault.status,
        retry_after_s=fault.retry_after_s,
        **more,
    )


CALLS = [(method, fault) for method in ("banChatMember", "deleteMessage") for fault in FAULTS]
"""What the first of two deletions has deleted, the second cannot find: it was done."""


@pytest.mark.parametrize(("method", "fault"), CALLS, ids=lambda value: getattr(value, "kind", value))
async def test_a_call_that_changes_nothing_twice_is_made_until_telegram_has_answered(
    telegram: Served, tmp_path: Path, method: str, fault: Fault
) -> None:
    telegram.simulator.add_chat("supergroup", "Group", chat_id=GROUP)

    async with tempogram(telegram, tmp_path, **SOON) as running_program:
        bot = Bot(TOKEN)
        sent = await bot.send_message(GROUP, "hello")
        telegram.simulator.order(of(fault, method))

        if method == "deleteMessage":
            assert await bot.delete_message(GROUP, sent.message_id) is True
        else:
            assert await bot.ban_chat_member(GROUP, 5) is True

        assert times(running_program, method) == (fault.times or 0) + 1
        assert running_program.shown(GROUP) == ([] if method == "deleteMessage" else ["hello"])


async def test_a_call_that_may_not_be_made_twice_is_given_up_when_its_answer_is_lost(
    telegram: Served, tmp_path: Path
) -> None:
    async with tempogram(telegram, tmp_path, **SOON) as running_program:
        bot, price = Bot(TOKEN), LabeledPrice(label="one", amount=1)
        telegram.simulator.order(Fault(kind="reset_after", method="createInvoiceLink", times=1))

        with pytest.raises(TelegramNetworkError):
            await bot.create_invoice_link("title", "description", "payload", "XTR", [price])
        link = await bot.create_invoice_link("title", "description", "payload", "XTR", [price])

        assert link.startswith("https://")
        assert times(running_program, "createInvoiceLink") == 2


async def test_a_handler_whose_first_call_is_refused_makes_the_second(telegram: Served, tmp_path: Path) -> None:
    anna, world = telegram.simulator.add_user("Anna"), telegram.simulator.telegram.world
    telegram.simulator.order(Fault(kind="429", method="deleteMessage", retry_after_s=1, times=1, hold="none"))

    async with tempogram(telegram, tmp_path, behaviours=("tests.end_to_end.tidying",)) as running_program:
        anna.says(world.bots[42], "tidy after a 429")

        async def is_tidy() -> bool:
            return running_program.shown(anna.user_id) == ["done: tidy after a 429"]

        await until(is_tidy)
        telegram.simulator.order(Fault(kind="chat_not_found", method="deleteMessage", times=1))
        anna.says(world.bots[42], "tidy after a 400")

        async def is_answered() -> bool:
            return "done: tidy after a 400" in running_program.shown(anna.user_id)

        await until(is_answered)
        assert [call["code"] for call in running_program.calls("deleteMessage")] == [429, 200, 400]


async def test_awaited_calls_return_and_raise_what_aiogram_does(telegram: Served, tmp_path: Path) -> None:
    telegram.simulator.add_chat("supergroup", "Group", chat_id=GROUP)

    async with tempogram(telegram, tmp_path):
        bot = Bot(TOKEN)
        with pytest.raises(TelegramBadRequest, match="message to delete not found"):
            await bot.delete_message(GROUP, 999)
        made = await bot.create_chat_invite_link(GROUP, name="friends")
        assert isinstance(made, ChatInviteLink)
        assert await bot.set_my_commands([]) is True
        assert await bot.set_chat_photo(GROUP, BufferedInputFile(b"pixels", "photo.jpg")) is True

        waiting = await asyncio.gather(*[bot.ban_chat_member(GROUP, user_id) for user_id in range(1, 41)])

        assert waiting == [True] * 40  # twice as many as a group takes messages in its window
        sent = await bot.send_message(GROUP, "hello")
        assert sent.text == "hello"
    assert telegram.simulator.report().broke_no_window


async def test_a_deletion_submitted_by_http_drops_the_edits_that_wait(telegram: Served, tmp_path: Path) -> None:
    """Only aiogram's deletions did: this edit waited for a minute, and Telegram refused it."""
    telegram.simulator.add_chat("supergroup", "Group", chat_id=GROUP)

    async with tempogram(telegram, tmp_path) as running_program:
        sent = await running_program.becomes(await running_program.submit(GROUP), "sent")
        number = sent["telegram_message_id"]
        for _ in range(19):  # what the group takes in a minute
            await running_program.submit(GROUP)
        calls = [
            {"bot": 42, "chat_id": GROUP, "method": method, "params": {"message_id": number, **more}}
            for method, more in (("editMessageText", {"text": "a"}), ("deleteMessage", {}))
        ]
        edit, deletion = [(await running_program.call("POST", "/messages", each))[1]["id"] for each in calls]
        await running_program.becomes(deletion, "sent")
        ended = await running_program.becomes(edit, "cancelled")

    assert ended["reason"] == "the message it would change was deleted"
    assert times(running_program, "editMessageText") == 0


async def test_a_deletion_submitted_by_http_is_sent_and_obeys_a_pause(telegram: Served, tmp_path: Path) -> None:
    telegram.simulator.add_chat("supergroup", "Group", chat_id=GROUP)

    async with tempogram(telegram, tmp_path) as running_program:
        sent = await running_program.becomes(await running_program.submit(GROUP), "sent")
        number = sent["telegram_message_id"]
        await running_program.call("PATCH", "/bots/42", {"paused": True})
        calls = [
            {"bot": 42, "chat_id": GROUP, "method": method, "params": {"message_id": number}}
            for method in ("pinChatMessage", "deleteMessage")
        ]
        accepted = [(await running_program.call("POST", "/messages", each))[1] for each in calls]
        paused = times(running_program, "deleteMessage")
        await running_program.call("PATCH", "/bots/42", {"paused": False})
        ends = [await running_program.becomes(each["id"], "sent") for each in accepted]

        assert paused == 0
        assert [end["telegram_message_id"] for end in ends] == [None, None]
        assert running_program.shown(GROUP) == []
        commands = {"bot": 42, "method": "setMyCommands", "params": {"commands": []}}
        status, said = await running_program.call("POST", "/messages", commands)
        assert (status, said["status"]) == (202, "queued")
        await running_program.becomes(said["id"], "sent")
