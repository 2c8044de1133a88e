"""Updates, calls and log events become lines on the screen."""

from __future__ import annotations

import io
from typing import Any

import pytest
from aiogram.types import Update

from tempogram.bot.terminal.conversation import Conversation
from tempogram.bot.terminal.printed import Printed
from tempogram.bot.terminal.screen import LINES_MAX, Screen
from tempogram.engine.model.messages import Lease
from tempogram.engine.model.outcomes import Failed, Outcome, Sent
from tests.bot.fakes import BOT_ID
from tests.bot.talk import GROUP, PRIVATE, update
from tests.bot.terminal.emulator import Emulator
from tests.bot.terminal.test_lines import NewsBot
from tests.engine.desk import Desk
from tests.fakes import START_MS, Clock, outgoing


class Shown:
    """A conversation on an emulated terminal."""

    def __init__(self, clock: Clock, desk: Desk) -> None:
        self.clock = clock
        self.emulator = Emulator()
        self.screen = Screen(self.emulator.terminal, clock=clock)
        self.conversation = Conversation(self.screen, clock=clock)
        self.conversation.name(NewsBot(), {})
        self.waits = self.conversation.follow(desk.broker)

    def hears(self, **content: Any) -> None:
        self.conversation.received(Update.model_validate(update("/price", **content)), BOT_ID)

    def answers(self, outcome: Outcome) -> None:
        message = outgoing("a", bot_id=BOT_ID, chat_id=PRIVATE, ready_at_ms=START_MS)
        lease = Lease(message, attempt=1, worker_id="w", incarnation=1, number=1, expires_at_ms=0)
        self.conversation.answered(lease, outcome, took_ms=20)

    @property
    def rows(self) -> list[str]:
        self.screen.draw()
        return self.emulator.shown


@pytest.fixture
async def shown(clock: Clock) -> Shown:
    return Shown(clock, Desk())


async def test_a_question_and_its_answer_are_two_lines(shown: Shown) -> None:
    shown.hears()
    shown.answers(Sent(1))

    assert shown.rows == ["News bot ← Anna: /price", "News bot → Anna A.: sent, 0.02 s"]


async def test_a_message_that_several_bots_of_a_group_get_is_one_line(shown: Shown) -> None:
    message = update("/price", chat_id=GROUP)
    for bot_id in (BOT_ID, 43, 44):
        shown.conversation.received(Update.model_validate(message), bot_id)
    together = shown.rows
    shown.conversation.received(Update.model_validate(message), 45)

    assert together == ["News bot and 2 more ← Anna (Chess club): /price"]
    assert shown.rows[1:] == ["bot 45 ← Anna (Chess club): /price"]


async def test_an_edit_of_a_group_message_and_a_second_try_of_a_bot_are_no_further_bots(shown: Shown) -> None:
    message = update("/price", chat_id=GROUP)
    edited = {"update_id": 2, "edited_message": message["message"] | {"text": "/prices", "edit_date": 2}}
    for content in (message, message, edited):
        shown.conversation.received(Update.model_validate(content), BOT_ID)

    assert shown.rows == ["News bot ← Anna (Chess club): /price", "News bot ← Anna (Chess club): edits: /prices"]


async def test_a_start_with_nothing_that_waits_says_nothing_of_the_queue(shown: Shown) -> None:
    assert shown.conversation.shows({"event": "queue_rebuilt", "messages": 0})
    assert not shown.conversation.shows({"event": "queue_rebuilt", "messages": 7})


async def test_a_start_that_takes_up_updates_again_says_so(shown: Shown) -> None:
    assert shown.conversation.shows({"event": "started", "resumed_updates": 0})
    assert not shown.conversation.shows({"event": "started", "resumed_updates": 12})


async def test_a_chat_of_an_earlier_start_has_its_name(shown: Shown) -> None:
    shown.conversation.name(NewsBot(), {PRIVATE: "Anna"})
    shown.answers(Sent(1))

    assert shown.rows == ["News bot → Anna: sent, 0.02 s"]


async def test_a_call_that_failed_leaves_its_line_to_the_log_event(shown: Shown) -> None:
    shown.hears()
    shown.answers(Failed("Bad Gateway", 502))
    is_shown = shown.conversation.shows(
        {
            "event": "message_retried",
            "bot_id": BOT_ID,
            "chat_id": PRIVATE,
            "delay_ms": 900,
            "attempt": 1,
            "reason": "Bad Gateway",
        }
    )

    assert is_shown
    assert shown.rows[1:] == ["News bot → Anna A.: tries again in 0.90 s, as attempt 1 failed: Bad Gateway"]


async def test_another_log_event_stays_a_line_of_the_log(shown: Shown) -> None:
    assert not shown.conversation.shows({"event": "handler_failed", "bot_id": BOT_ID})
    assert shown.rows == []


@pytest.mark.parametrize(
    "event",
    [
        {"event": "started", "shop": 7},
        {"event": "queue_rebuilt"},
        {"event": "throttled", "by": "the shop"},
        {"event": "throttled", "bot_id": BOT_ID, "hold_ms": "long"},
        {"event": {"sold": 7}},
    ],
)
async def test_an_event_of_a_module_stays_a_line_of_the_log_whatever_its_name(
    shown: Shown, event: dict[str, Any]
) -> None:
    assert not shown.conversation.shows(event)
    assert shown.rows == []


async def test_the_address_and_the_counts_are_pinned(shown: Shown) -> None:
    shown.conversation.pin("http://127.0.0.1:8000", lambda: 3, ["  simulated Telegram http://127.0.0.1:8081"])
    shown.hears()
    shown.answers(Sent(1))

    assert shown.rows[-2:] == [
        "Tempogram http://127.0.0.1:8000 · 1 in, 1 out · 3 bots · Ctrl-C ends it",
        "  simulated Telegram http://127.0.0.1:8081",
    ]


async def test_one_bot_is_said_as_one(shown: Shown) -> None:
    shown.conversation.pin("http://127.0.0.1:8000", lambda: 1)

    assert shown.rows == ["Tempogram http://127.0.0.1:8000 · 0 in, 0 out · 1 bot · Ctrl-C ends it"]


async def test_no_flood_of_what_modules_print_hides_what_the_program_says_itself(shown: Shown) -> None:
    for number in range(LINES_MAX + 1):
        print(f"loading {number}", file=Printed(shown.screen, io.StringIO()))
    shown.conversation.say("  admin token  x")
    shown.screen.draw()

    assert "  admin token  x" in shown.emulator.everything


async def test_what_waits_is_followed_until_it_is_sent(shown: Shown) -> None:
    shown.conversation.queued([outgoing("a", bot_id=BOT_ID, chat_id=PRIVATE)])
    before = len(shown.waits._waiting)
    shown.answers(Sent(1))

    assert (before, len(shown.waits._waiting)) == (1, 0)


async def test_an_update_of_a_kind_that_is_not_known_is_shown(shown: Shown) -> None:
    shown.conversation.received(Update.model_validate({"update_id": 1, "from_the_future": {}}), BOT_ID)

    assert shown.rows == ["News bot ← Telegram: something that this version does not know"]
