"""What is said of messages that wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.bot.terminal.names import Names
from tempogram.bot.terminal.screen import Line
from tempogram.bot.terminal.waits import CHATS_A_LOOK, PAUSE_TIMES, WAITING_MAX, Waits
from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import Outgoing
from tempogram.engine.model.outcomes import Throttled
from tempogram.engine.ports import Explanation
from tests.engine.desk import UNLIMITED, Desk, WatchedBroker
from tests.fakes import START_MS, outgoing

SLOW_CHATS = replace(UNLIMITED, chat=Limit(1, 12_000))


class View:
    """A desk whose waiting messages are watched, and the lines that follow."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.lines: list[Line] = []
        self.waits = Waits(broker=desk.broker, names=Names(), put=self.lines.append, clock=desk.clock)

    async def queue(self, *messages: Outgoing) -> None:
        await self.desk.accept(*messages)
        self.waits.note(messages)

    async def look(self, *, after_ms: int = 1_000) -> list[str]:
        """Return what is said now."""
        self.desk.clock.advance(after_ms)
        self.lines.clear()
        await self.waits.look()
        return [str(line.draw(200)) for line in self.lines]


async def behind_a_sent_one(*messages: Outgoing) -> View:
    """Let messages wait for the limit of their chats, which have just got one."""
    view = View(Desk(limits=SLOW_CHATS))
    for chat_id in {each.chat_id for each in messages}:
        await view.desk.accept(outgoing(f"0{chat_id}", chat_id=chat_id))
    await view.desk.work()
    await view.queue(*messages)
    return view


async def test_a_message_that_waits_for_its_chat_says_so_once_and_for_how_long() -> None:
    view = await behind_a_sent_one(outgoing("a"))

    assert await view.look() == ["bot 1 → chat 7: waits for the chat's limit, about 11 s"]
    assert await view.look() == []


async def test_several_that_wait_in_one_chat_are_one_line() -> None:
    view = await behind_a_sent_one(outgoing("a"), outgoing("b"), outgoing("c"))

    assert await view.look() == ["bot 1 → chat 7: waits for the chat's limit, about 11 s, with 2 more"]


async def test_a_wait_that_is_hardly_begun_is_not_said() -> None:
    view = await behind_a_sent_one(outgoing("a"))

    assert await view.look(after_ms=400) == []


async def test_a_wait_that_is_nearly_over_is_not_said() -> None:
    view = await behind_a_sent_one(outgoing("a"))

    assert await view.look(after_ms=11_100) == []


async def test_a_message_that_was_sent_meanwhile_is_not_said() -> None:
    view = View(Desk())
    await view.queue(outgoing("a"))
    await view.desk.work()

    assert await view.look() == []


async def test_a_chat_that_waits_again_says_so_again() -> None:
    view = await behind_a_sent_one(outgoing("a"))
    await view.look()
    view.desk.clock.advance(12_000)
    await view.desk.work()
    view.waits.forget("a")
    await view.look()

    await view.queue(outgoing("b"))

    assert len(await view.look()) == 1


async def test_what_telegram_asked_to_wait_is_said() -> None:
    view = View(Desk())
    await view.desk.deliver(Throttled(7_000), message=outgoing("a"))
    await view.queue(outgoing("b"))

    (said,) = await view.look()

    assert said.startswith("bot 1 → chat 7: waits as Telegram asked")


async def test_a_message_for_later_says_when() -> None:
    view = View(Desk())
    await view.queue(outgoing("a", ready_at_ms=START_MS + 3_600_000))

    assert await view.look() == ["bot 1 → chat 7: waits for its time, about 60 min"]


async def test_a_bot_at_its_limit_is_one_line_for_all_its_chats() -> None:
    view = View(Desk(limits=replace(UNLIMITED, bot=Limit(1, 10_000))))
    await view.desk.accept(outgoing("0", chat_id=99))
    await view.desk.work()
    await view.queue(*(outgoing(f"m{chat}", chat_id=chat) for chat in range(1, 301)))

    assert await view.look() == ["bot 1: 300 messages wait for the bot's limit"]
    assert await view.look() == []


async def test_a_paused_bot_is_said() -> None:
    view = View(Desk())
    await view.desk.broker.pause(1, paused=True)
    await view.queue(outgoing("a"))

    assert await view.look() == ["bot 1: 1 message waits as the bot is paused"]


async def test_what_another_process_ended_is_forgotten() -> None:
    view = await behind_a_sent_one(outgoing("a"))
    await view.desk.broker.cancel(["a"])

    assert await view.look() == []
    assert view.waits._waiting == {}


async def test_no_more_messages_are_followed_than_there_is_room_for() -> None:
    view = View(Desk())

    view.waits.note([outgoing(f"{number:05}", chat_id=number + 1) for number in range(WAITING_MAX + 5)])

    assert len(view.waits._waiting) == WAITING_MAX


async def test_many_messages_for_later_leave_room_for_what_waits_now() -> None:
    view, tomorrow_ms = View(Desk()), START_MS + 86_400_000
    await view.queue(*(outgoing(f"{number:05}", ready_at_ms=tomorrow_ms) for number in range(WAITING_MAX)))
    later = await view.look()
    await view.look()
    await view.desk.broker.pause(2, paused=True)
    await view.queue(outgoing("now", bot_id=2))

    assert later == [f"bot 1 → chat 7: waits for its time, about 24.0 h, with {WAITING_MAX - 1} more"]
    assert await view.look() == ["bot 2: 1 message waits as the bot is paused"]


class SlowBroker(WatchedBroker):
    """Takes 20 ms to explain a message."""

    explained = 0

    async def explain(self, message_id: str) -> Explanation | None:
        self.explained += 1
        self._queue.clock.advance(20)  # type: ignore[attr-defined]
        return await super().explain(message_id)


async def test_explaining_takes_a_hundredth_of_the_time_at_most() -> None:
    desk = Desk(limits=SLOW_CHATS)
    desk.broker = SlowBroker(SLOW_CHATS, clock=desk.clock, journal=[])
    view = View(desk)
    chats = range(1, CHATS_A_LOOK + 1)
    messages = [outgoing(f"m{chat}", chat_id=chat, ready_at_ms=START_MS + 3_600_000) for chat in chats]
    await desk.broker.admit(messages, worker_id="", slots=0)
    view.waits.note(messages)

    await view.look()
    await view.look()
    early = desk.broker.explained
    await view.look(after_ms=PAUSE_TIMES * 20)

    assert (early, desk.broker.explained) == (1, 2)


async def test_a_queue_that_is_away_is_left_to_its_own_condition() -> None:
    view = await behind_a_sent_one(outgoing("a"))
    view.desk.broker.asleep = True

    async def away(_: object) -> list[bool]:
        raise BrokerUnavailable("the queue is away")

    view.desk.broker.knows = away  # type: ignore[method-assign, assignment]

    with pytest.raises(BrokerUnavailable):
        await view.look()


async def test_chats_of_which_there_is_nothing_to_say_keep_no_others_from_their_line() -> None:
    view, chats = View(Desk()), range(1, CHATS_A_LOOK + 1)
    await view.desk.accept(*(outgoing(f"a{chat}", chat_id=chat) for chat in chats))
    in_flight = await view.desk.leases()
    await view.queue(*(outgoing(f"b{chat}", chat_id=chat) for chat in chats))
    await view.queue(outgoing("c", chat_id=99, ready_at_ms=START_MS + 3_600_000))

    said = [await view.look(), await view.look(after_ms=0)]

    assert len(in_flight) == CHATS_A_LOOK
    assert said == [[], ["bot 1 → chat 99: waits for its time, about 60 min"]]
