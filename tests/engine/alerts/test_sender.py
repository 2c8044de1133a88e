from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from structlog.testing import capture_logs

from tempogram.engine.alerts.channel import Accepted, Away, Channel, Pending, Refused
from tempogram.engine.alerts.memory_store import MemoryAlertStore
from tempogram.engine.alerts.sender import CLAIM_MS, GIVE_UP_MS, RETRY_MS_MAX, RETRY_MS_MIN, TRY_S, Sender
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.alert_store import Mark, Notice, NoticeRow
from tests.engine.alerts.values import ListChannel, row
from tests.fakes import START_MS, Clock
from tests.virtual_time import LoopClock, in_virtual_time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryAlertStore:
    return MemoryAlertStore()


async def write(store: MemoryAlertStore, *rows: NoticeRow) -> None:
    await store.say(Mark.SAID, [], START_MS, rows)


def ids(channel: ListChannel) -> list[str]:
    return [each.id for each in channel.accepted]


async def test_each_channel_gets_each_notice_once_in_their_order(store: MemoryAlertStore, clock: Clock) -> None:
    slack, email = ListChannel(), ListChannel()
    sender = Sender(store, {"slack": slack, "email": email}, clock=clock)
    await write(store, *(row(number, name) for number in "132" for name in ("slack", "email")))

    await sender.deliver()
    await sender.deliver()

    assert ids(slack) == ids(email) == ["1", "2", "3"]


async def test_what_a_channel_that_is_away_does_not_take_waits_for_it_in_order(
    store: MemoryAlertStore, clock: Clock
) -> None:
    slack = ListChannel(Away("it answered with 503"))
    sender = Sender(store, {"slack": slack}, clock=clock)
    await write(store, row("1"), row("2"))

    await sender.deliver()
    await sender.deliver()
    assert [each.id for each in slack.tried] == ["1"]

    clock.advance(RETRY_MS_MIN)
    await sender.deliver()
    assert ids(slack) == ["1", "2"]


async def test_a_channel_that_is_away_holds_up_no_other(store: MemoryAlertStore, clock: Clock) -> None:
    slack, email = ListChannel(*[Away("away")] * 9), ListChannel()
    await write(store, row("1"), row("1", "email"))

    await Sender(store, {"slack": slack, "email": email}, clock=clock).deliver()

    assert (ids(slack), ids(email)) == ([], ["1"])


async def test_a_notice_that_is_refused_holds_up_no_other_and_is_tried_again(
    store: MemoryAlertStore, clock: Clock
) -> None:
    slack = ListChannel(Refused("it answered with 400"))
    sender = Sender(store, {"slack": slack}, clock=clock)
    await write(store, row("1"), row("2"))

    await sender.deliver()
    assert ids(slack) == ["2"]

    clock.advance(RETRY_MS_MAX)
    await sender.deliver()
    assert ids(slack) == ["2", "1"]


async def test_a_notice_on_its_way_is_asked_for_until_it_has_arrived(store: MemoryAlertStore, clock: Clock) -> None:
    chat = ListChannel(Pending(), Pending())
    sender = Sender(store, {"slack": chat}, clock=clock)
    await write(store, row("1"))
    with capture_logs() as logs:
        for _ in range(3):
            await sender.deliver()
            clock.advance(30_000)

    assert [each.id for each in chat.tried] == ["1"] * 3
    assert [each["event"] for each in logs] == ["alert_delivered"]


async def test_a_receiver_is_waited_for_as_long_as_it_asks(store: MemoryAlertStore, clock: Clock) -> None:
    slack = ListChannel(Away("it answered with 429", retry_after_s=600))
    sender = Sender(store, {"slack": slack}, clock=clock)
    await write(store, row("1"))
    await sender.deliver()

    clock.advance(599_999)
    await sender.deliver()
    assert len(slack.tried) == 1
    clock.advance(1)
    await sender.deliver()
    assert ids(slack) == ["1"]


async def test_pauses_grow_up_to_five_minutes(store: MemoryAlertStore, clock: Clock) -> None:
    slack = ListChannel(*[Away("away")] * 20)
    sender = Sender(store, {"slack": slack}, clock=clock)
    await write(store, row("1"))
    pauses = []
    for _ in range(12):
        await sender.deliver()
        next_ms = await store.next_try_ms(["slack"])
        assert next_ms is not None
        pauses.append(next_ms - clock())
        clock.now_ms = next_ms

    assert all(
        min(RETRY_MS_MAX, RETRY_MS_MIN << n) // 2 <= pause <= min(RETRY_MS_MAX, RETRY_MS_MIN << n)
        for n, pause in enumerate(pauses)
    )


async def test_a_notice_is_given_up_after_a_day_and_the_next_is_sent(store: MemoryAlertStore, clock: Clock) -> None:
    slack = ListChannel(Away("away"), Away("away"))
    sender = Sender(store, {"slack": slack}, clock=clock)
    await write(store, row("1"), row("2"))
    await sender.deliver()
    clock.advance(GIVE_UP_MS)
    with capture_logs() as logs:
        await sender.deliver()
        await sender.deliver()

    assert ids(slack) == ["2"]
    assert (logs[0]["event"], logs[0]["reason"]) == ("alert_given_up", "away")


async def test_several_processes_try_each_notice_once(store: MemoryAlertStore, clock: Clock) -> None:
    slack = ListChannel()
    senders = [Sender(store, {"slack": slack}, clock=clock) for _ in range(5)]
    await write(store, *(row(f"{number:03}") for number in range(30)))

    for _ in range(3):
        await asyncio.gather(*(sender.deliver() for sender in senders))

    assert ids(slack) == [f"{number:03}" for number in range(30)]
    assert len(slack.tried) == 30


async def test_a_process_that_dies_during_a_try_leaves_it_to_the_next(store: MemoryAlertStore, clock: Clock) -> None:
    await write(store, row("1"))
    await store.claim(row("1"), clock() + CLAIM_MS)  # and it dies
    slack = ListChannel()
    sender = Sender(store, {"slack": slack}, clock=clock)

    await sender.deliver()
    assert ids(slack) == []
    clock.advance(CLAIM_MS)
    await sender.deliver()
    assert ids(slack) == ["1"]


class Hanging:
    """A channel that answers after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.accepted: list[str] = []

    async def send(self, notice: Notice) -> Accepted:
        await asyncio.sleep(self._seconds)
        self.accepted.append(notice.id)
        return Accepted()


def test_a_channel_that_hangs_is_waited_for_no_longer_than_one_try() -> None:
    async def deliver() -> tuple[float, int | None]:
        store, clock = MemoryAlertStore(), LoopClock(asyncio.get_running_loop())
        await write(store, row("1"))
        await Sender(store, {"slack": Hanging(1_000)}, clock=clock).deliver()
        return asyncio.get_running_loop().time(), await store.next_try_ms(["slack"])

    took_s, next_ms = in_virtual_time(deliver())
    assert took_s == pytest.approx(TRY_S)
    assert next_ms is not None


def test_a_try_that_is_under_way_when_its_process_ends_is_finished() -> None:
    async def end_meanwhile(seconds: float) -> tuple[list[str], int]:
        store, clock, slack = MemoryAlertStore(), LoopClock(asyncio.get_running_loop()), Hanging(seconds)
        await write(store, row("1"))
        running = asyncio.create_task(Sender(store, {"slack": slack}, clock=clock).run())
        await asyncio.sleep(0.5)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return slack.accepted, len(store.rows)

    assert in_virtual_time(end_meanwhile(4)) == (["1"], 0)
    assert in_virtual_time(end_meanwhile(10)) == ([], 1)


class Forgetful(MemoryAlertStore):
    """A database that is away when an end is to be written."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    async def finish(self, row: NoticeRow, at_ms: int, **outcome: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            raise LedgerError("the database is away")
        await super().finish(row, at_ms, **outcome)


def test_an_accepted_notice_is_not_sent_again_while_that_cannot_be_written() -> None:
    async def run() -> tuple[int, int]:
        store, slack, clock = Forgetful(90), ListChannel(), LoopClock(asyncio.get_running_loop())
        await write(store, row("1"))
        channels: dict[str, Channel] = {"slack": slack}
        running = asyncio.create_task(Sender(store, channels, clock=clock).run())
        await asyncio.sleep(200)
        running.cancel()
        return len(slack.tried), len(store.rows)

    assert in_virtual_time(run()) == (1, 0)


async def test_a_channel_that_fails_in_its_own_code_is_away(store: MemoryAlertStore, clock: Clock) -> None:
    class Broken:
        async def send(self, notice: Notice) -> Accepted:
            raise ValueError("a secret: hunter2")

    await write(store, row("1"))
    with capture_logs() as logs:
        await Sender(store, {"slack": Broken()}, clock=clock).deliver()

    assert [(each["event"], each.get("reason")) for each in logs] == [
        ("alert_channel_failed", None),
        ("alert_not_delivered", "ValueError"),
    ]


async def test_each_try_is_counted_by_channel_and_outcome(store: MemoryAlertStore, clock: Clock) -> None:
    counted: list[tuple[str, str]] = []
    slack = ListChannel(Refused("no"))
    await write(store, row("1"), row("2"))

    await Sender(store, {"slack": slack}, clock=clock, count=lambda *each: counted.append(each)).deliver()

    assert counted == [("slack", "refused"), ("slack", "accepted")]
