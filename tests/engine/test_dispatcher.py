"""The way in."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from tempogram.engine.dispatcher import Dispatcher, Submission
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import LedgerError, QueueFull, TargetLost, UnstorableValue
from tempogram.engine.model.messages import Lease, Outgoing, Priority, Status
from tempogram.engine.model.outcomes import Outcome
from tempogram.engine.ports import Accepted, Fault, Known, Result
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.conditions import OBSERVED_MS, Condition
from tests.engine.desk import UNLIMITED, WITHIN_S, Desk, soon, turns
from tests.fakes import outgoing


def with_worker(desk: Desk) -> Dispatcher:
    return desk.new_dispatcher(worker=desk.worker)


def each_to_its_chat(count: int) -> list[Outgoing]:
    return [outgoing(f"{number:04}", chat_id=number + 1) for number in range(count)]


async def submitted(desk: Desk, *messages: Outgoing) -> list[Submission]:
    return await desk.dispatcher.submit(messages)


async def test_a_message_is_in_the_ledger_before_it_is_queued(desk: Desk) -> None:
    desk.broker.asleep = True

    answers = await submitted(desk, outgoing("a"))

    assert answers == [Accepted()]
    assert desk.ledger.statuses == {"a": Status.QUEUED}
    assert await desk.broker.knows(["a"]) == [False]


async def test_a_key_that_was_accepted_before_is_answered_with_the_first_ones_state(desk: Desk) -> None:
    first = structs.replace(outgoing("a"), dedup_key="order-7")
    await submitted(desk, first)

    answers = await submitted(desk, outgoing("b"), structs.replace(first, id="c"), outgoing("d"))

    assert answers == [Accepted(), Known("a", Status.QUEUED), Accepted()]
    assert await desk.broker.knows(["b", "c", "d"]) == [True, False, True]


async def test_one_message_too_many_is_refused_and_its_neighbours_go_in() -> None:
    desk = Desk(limits=replace(UNLIMITED, chat_cap=1))

    answers = await submitted(desk, outgoing("a", chat_id=7), outgoing("b", chat_id=7), outgoing("c", chat_id=8))

    full = answers[1]
    assert [answers[0], answers[2]] == [Accepted(), Accepted()]
    assert isinstance(full, QueueFull)
    assert (full.bot_id, full.chat_id, full.cap) == (1, 7, 1)


async def test_a_message_that_a_cap_refuses_is_counted_as_dropped() -> None:
    desk = Desk(limits=replace(UNLIMITED, chat_cap=1))

    await submitted(desk, outgoing("a"), outgoing("a"), outgoing("b"))

    assert desk.metrics.drops == 1


async def test_a_refused_message_is_not_in_the_ledger_any_more() -> None:
    desk = Desk(limits=replace(UNLIMITED, bot_cap=1))

    await submitted(desk, outgoing("a", chat_id=7), outgoing("b", chat_id=8))

    assert list(desk.ledger.messages) == ["a"]


async def test_the_ledger_is_not_asked_to_discard_nothing(desk: Desk) -> None:
    await submitted(desk, outgoing("a"))

    assert desk.journal == ["add"]


async def test_more_than_a_batch_goes_in_as_several(desk: Desk) -> None:
    messages = each_to_its_chat(2 * BATCH_MAX + 1)

    answers = await submitted(desk, *messages)

    assert answers == [Accepted()] * len(messages)
    assert (await desk.broker.stats()).waiting[Priority.NORMAL] == len(messages)


async def test_the_answers_of_a_large_batch_stand_in_the_order_of_its_messages() -> None:
    desk = Desk(limits=replace(UNLIMITED, chat_cap=1))
    messages = each_to_its_chat(BATCH_MAX + 10)
    messages[3] = structs.replace(messages[3], chat_id=messages[2].chat_id)
    messages[BATCH_MAX + 5] = structs.replace(messages[BATCH_MAX + 5], chat_id=messages[BATCH_MAX + 4].chat_id)

    answers = await submitted(desk, *messages)

    refused = [place for place, answer in enumerate(answers) if isinstance(answer, QueueFull)]
    assert refused == [3, BATCH_MAX + 5]


async def test_a_ledger_that_refuses_has_accepted_nothing(desk: Desk) -> None:
    desk.ledger.refused_words = ["add", "add"]

    with pytest.raises(LedgerError):
        await submitted(desk, outgoing("a"))

    assert await desk.broker.knows(["a"]) == [False]


async def test_a_message_that_the_ledger_will_never_take_is_refused_and_its_neighbours_go_in(desk: Desk) -> None:
    desk.ledger.unstorable = {3, 6}

    answers = await submitted(desk, *(outgoing(each, chat_id=chat_id) for chat_id, each in enumerate("abcdefgh", 1)))

    assert [type(answer) for answer in answers] == [
        UnstorableValue if each in "cf" else Accepted for each in "abcdefgh"
    ]
    assert list(desk.ledger.messages) == list("abdegh")
    assert desk.conditions.current == []


async def test_one_message_of_a_thousand_that_the_ledger_will_never_take_costs_a_few_writes(desk: Desk) -> None:
    desk.ledger.unstorable = {777}

    answers = await submitted(desk, *each_to_its_chat(1_000))

    assert sum(answer != Accepted() for answer in answers) == 1
    assert desk.journal.count("add") <= 2 * 10 + 1


async def test_a_refused_submission_reports_the_ledgers_outage_for_a_while(desk: Desk) -> None:
    desk.ledger.refused_words = ["add", "add"]
    with capture_logs() as logs:
        with pytest.raises(LedgerError):
            await submitted(desk, outgoing("a"))
        meanwhile = desk.conditions.current
        desk.clock.advance(OBSERVED_MS)
        desk.conditions.lapse()

    assert meanwhile == [Condition.LEDGER_AWAY]
    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_a_submission_that_is_written_at_the_second_try_reports_no_outage(desk: Desk) -> None:
    desk.ledger.refused_words = ["add"]

    with capture_logs() as logs:
        answers = await submitted(desk, outgoing("a"))

    assert (answers, logs) == ([Accepted()], [])


async def test_a_message_that_may_go_now_is_sent_at_once(desk: Desk) -> None:
    dispatcher = with_worker(desk)

    await dispatcher.submit([outgoing("a")])
    await soon(desk.transport.arrived)

    assert desk.transport.ids == ["a"]


async def test_a_worker_without_a_free_connection_leaves_it_queued() -> None:
    desk = Desk(slots=1)
    dispatcher = with_worker(desk)
    desk.transport.close()

    await dispatcher.submit([outgoing("a", chat_id=7), outgoing("b", chat_id=8)])
    await soon(desk.transport.arrived)
    await turns()

    assert desk.transport.ids == ["a"]
    assert (await desk.broker.stats()).leased == 1


@pytest.mark.parametrize("asleep", [True, False])
async def test_connections_set_aside_are_given_back(desk: Desk, *, asleep: bool) -> None:
    dispatcher = with_worker(desk)
    desk.broker.asleep = asleep
    await desk.broker.pause(1, paused=True)

    await dispatcher.submit([outgoing("a")])

    with desk.worker.reserved(99) as slots:
        assert slots.count == 4


async def test_connections_are_given_back_when_the_admission_breaks(desk: Desk) -> None:
    dispatcher = desk.new_dispatcher(worker=desk.worker, broker=BrokenBroker())  # type: ignore[arg-type]

    with pytest.raises(ZeroDivisionError):
        await dispatcher.submit([outgoing("a")])

    with desk.worker.reserved(99) as slots:
        assert slots.count == 4


async def test_cancelling_the_caller_does_not_cancel_its_submission(desk: Desk) -> None:
    desk.ledger.held_up = asyncio.Event()
    caller = asyncio.create_task(desk.dispatcher.submit([outgoing("a")]))
    await turns()

    caller.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await caller
    desk.ledger.held_up.set()
    await turns()

    assert desk.ledger.statuses == {"a": Status.QUEUED}
    assert await desk.broker.knows(["a"]) == [True]


async def test_a_replay_is_queued_whatever_the_caps_say() -> None:
    desk = Desk(limits=Limits(bot_cap=1))
    messages = each_to_its_chat(BATCH_MAX + 1)

    await desk.dispatcher.readmit(messages)

    assert all(await desk.broker.knows([message.id for message in messages[:BATCH_MAX]]))
    assert desk.journal == []


class BrokenBroker:
    async def admit(self, *_: object, **__: object) -> None:
        raise ZeroDivisionError


def edit(message_id: str, *, method: str = "editMessageText") -> Outgoing:
    return outgoing(message_id, method=method, replaces="edit:1")


async def test_a_replaced_edit_is_cancelled_with_the_one_that_replaced_it_as_the_reason(desk: Desk) -> None:
    waiting = desk.results.expect("a")

    answers = await submitted(desk, edit("a"), edit("b"))

    assert answers == [Accepted(), Accepted()]
    assert desk.ledger.statuses == {"a": Status.CANCELLED, "b": Status.QUEUED}
    assert [record.fault for record in desk.ledger.records] == [Fault(code=None, reason="replaced by b")]
    assert waiting.result() == Result("a", Status.CANCELLED, None, replaced_by="b")


async def test_an_edit_is_recorded_as_replaced_even_if_the_ledger_refuses_at_first(desk: Desk) -> None:
    desk.ledger.refused_words = ["record"]

    await submitted(desk, edit("a"), edit("b"))

    assert desk.ledger.statuses["a"] is Status.CANCELLED


async def test_a_message_that_could_not_be_queued_goes_before_those_submitted_later(desk: Desk) -> None:
    """Otherwise the second message of a chat overtook the first, when one process alone missed Redis."""
    desk.broker.asleep = True
    await submitted(desk, outgoing("a"), outgoing("b"))
    desk.broker.asleep = False

    await submitted(desk, outgoing("c"))

    sent = []
    while leases := await desk.leases():
        sent += [lease.message.id for lease in leases]
        for lease in leases:
            await desk.send(lease)
    assert sent == ["a", "b", "c"]


async def test_a_message_that_could_not_be_queued_and_has_ended_meanwhile_is_not_queued(desk: Desk) -> None:
    desk.broker.asleep = True
    await submitted(desk, outgoing("a"))
    desk.broker.asleep = False
    desk.ledger.statuses["a"] = Status.SENT  # another process had found it

    await submitted(desk, outgoing("b"))

    assert await desk.broker.knows(["a", "b"]) == [False, True]


async def test_while_the_broker_is_away_everything_waits_in_the_ledger(desk: Desk) -> None:
    desk.broker.asleep = True
    await submitted(desk, outgoing("a"))
    await submitted(desk, outgoing("b"))
    desk.broker.asleep = False

    await submitted(desk, outgoing("c"))

    assert await desk.broker.knows(["a", "b", "c"]) == [True, True, True]


async def test_late_admissions_are_logged_once_when_they_begin_and_once_when_they_end(desk: Desk) -> None:
    with capture_logs() as logs:
        desk.broker.asleep = True
        for number in range(1, 4):
            await submitted(desk, structs.replace(outgoing(f"{number}"), dedup_key=f"{number}"))
        await submitted(desk, structs.replace(outgoing("4"), dedup_key="1"))
        desk.broker.asleep = False
        await submitted(desk, outgoing("5"))
        await submitted(desk, outgoing("6"))

    assert [(each["event"], each.get("messages")) for each in logs] == [
        ("admission_deferred", None),
        ("deferred_messages_admitted", 3),
    ]


async def test_the_end_of_late_admissions_is_logged_though_others_have_made_them(desk: Desk) -> None:
    with capture_logs() as logs:
        desk.broker.asleep = True
        await submitted(desk, outgoing("a"))
        desk.broker.asleep = False
        await desk.admit(outgoing("a"))
        await submitted(desk, outgoing("b"))

    assert [(each["event"], each.get("messages")) for each in logs][1:] == [("deferred_messages_admitted", 0)]


async def test_an_accepted_message_is_queued_though_a_connection_broke(desk: Desk) -> None:
    """Its caller submitted the next one to another process, and it overtook the first."""
    desk.broker.away_for(1)

    with capture_logs() as logs:
        await submitted(desk, outgoing("a"))

    assert await desk.broker.knows(["a"]) == [True]
    assert logs == []


async def test_while_the_broker_is_away_each_submission_asks_it_once(desk: Desk) -> None:
    desk.broker.asleep = True
    await submitted(desk, outgoing("a"))
    desk.broker.asleep = False
    desk.broker.away_for(2)

    await submitted(desk, outgoing("b"))
    await submitted(desk, outgoing("c"))
    assert await desk.broker.knows(["a", "b", "c"]) == [False, False, False]
    await submitted(desk, outgoing("d"))

    assert await desk.broker.knows(["a", "b", "c", "d"]) == [True, True, True, True]


async def test_a_repeated_submission_queues_its_message_if_it_was_not_queued(desk: Desk) -> None:
    """The first answer may have been an error: the ledger had the message, and only the commit's answer was lost."""
    first = structs.replace(outgoing("a"), dedup_key="order-7")
    await desk.ledger.add([first])

    answers = await submitted(desk, structs.replace(first, id="b"))

    assert answers == [Known("a", Status.QUEUED)]
    assert await desk.broker.knows(["a", "b"]) == [True, False]


async def test_a_repeated_submission_is_answered_while_the_broker_is_away(desk: Desk) -> None:
    first = structs.replace(outgoing("a"), dedup_key="order-7")
    desk.broker.asleep = True
    await submitted(desk, first)

    answers = await submitted(desk, structs.replace(first, id="b"))

    assert answers == [Known("a", Status.QUEUED)]


class FakeReferences:
    """Every edit refers to a target; those of ``unreadable`` ids cannot be placed, and those of ``lost`` have none."""

    def __init__(self, desk: Desk, *, unreadable: str = "", lost: str = "") -> None:
        self._desk, self._unreadable, self._lost = desk, unreadable, lost
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.accepted_before: dict[str, list[str]] = {}

    def may_refer(self, message: Outgoing) -> bool:
        return message.method == "editMessageText"

    def in_order(self, bot_id: int) -> asyncio.Lock:
        return self._locks[bot_id]

    async def place(self, message: Outgoing) -> Outgoing | TargetLost:
        if message.id in self._unreadable:
            raise LedgerError("the database is away")
        self.accepted_before[message.id] = list(self._desk.ledger.messages)
        return TargetLost("it was not sent") if message.id in self._lost else message


def referring(message_id: str, *, bot_id: int = 1) -> Outgoing:
    return outgoing(message_id, bot_id=bot_id, method="editMessageText")


async def test_nothing_of_a_batch_is_accepted_if_what_one_refers_to_cannot_be_read(desk: Desk) -> None:
    """Its caller submits all of it again."""
    dispatcher = desk.new_dispatcher(references=FakeReferences(desk, unreadable="b"))

    with pytest.raises(LedgerError):
        await dispatcher.submit([outgoing("a"), referring("b"), outgoing("c", chat_id=8)])

    assert desk.ledger.statuses == {}
    assert await desk.broker.knows(["a", "b", "c"]) == [False, False, False]
    assert desk.conditions.current == [Condition.LEDGER_AWAY]


async def test_a_message_does_not_overtake_an_earlier_one_of_its_batch_that_refers_to_another(desk: Desk) -> None:
    dispatcher = desk.new_dispatcher(worker=desk.worker, references=FakeReferences(desk))

    answers = await dispatcher.submit([referring("a"), outgoing("b")])
    await soon(desk.transport.arrived)
    await turns()

    assert answers == [Accepted(), Accepted()]
    assert desk.transport.ids == ["a"]


async def test_a_batch_with_one_message_that_refers_to_another_is_written_at_once(desk: Desk) -> None:
    dispatcher = desk.new_dispatcher(references=FakeReferences(desk))

    await dispatcher.submit([outgoing("a"), referring("b"), outgoing("c")])

    assert desk.journal == ["add"]
    assert list(desk.ledger.messages) == ["a", "b", "c"]


async def test_a_message_finds_its_place_behind_those_of_its_batch_that_refer_to_the_same(desk: Desk) -> None:
    references = FakeReferences(desk)

    await desk.new_dispatcher(references=references).submit([referring("a"), outgoing("b"), referring("c")])

    assert references.accepted_before == {"a": [], "c": ["a", "b"]}


async def test_a_message_whose_target_is_lost_is_refused_and_its_neighbours_go_in(desk: Desk) -> None:
    dispatcher = desk.new_dispatcher(references=FakeReferences(desk, lost="b"))

    answers = await dispatcher.submit([outgoing("a"), referring("b"), outgoing("c")])

    assert [answers[0], answers[2]] == [Accepted(), Accepted()]
    assert isinstance(answers[1], TargetLost)
    assert list(desk.ledger.messages) == ["a", "c"]


async def test_the_rest_of_a_batch_is_refused_one_by_one_if_some_was_accepted(desk: Desk) -> None:
    dispatcher = desk.new_dispatcher(references=FakeReferences(desk, unreadable="c"))

    answers = await dispatcher.submit([outgoing("a"), referring("b"), referring("c"), outgoing("d")])

    assert answers[:2] == [Accepted(), Accepted()]
    assert [type(answer) for answer in answers[2:]] == [LedgerError, LedgerError]
    assert list(desk.ledger.messages) == ["a", "b"]


async def test_two_batches_whose_messages_refer_to_others_for_the_same_bots_do_not_block_each_other(desk: Desk) -> None:
    references = FakeReferences(desk)
    dispatcher = desk.new_dispatcher(references=references)
    async with references.in_order(1), references.in_order(2):
        one = asyncio.create_task(dispatcher.submit([referring("a", bot_id=1), referring("b", bot_id=2)]))
        other = asyncio.create_task(dispatcher.submit([referring("c", bot_id=2), referring("d", bot_id=1)]))
        await turns()

    async with asyncio.timeout(WITHIN_S):
        answers = await one + await other

    assert answers == [Accepted()] * 4


# What a view is notified of


class Waiting:
    """See ``Watcher``; notes what waits."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def queued(self, messages: Sequence[Outgoing]) -> None:
        self.ids += [message.id for message in messages]

    def answered(self, lease: Lease, outcome: Outcome, *, took_ms: int) -> None:
        """Note nothing."""


async def test_a_watcher_is_notified_of_what_waits_and_not_of_what_goes_at_once(desk: Desk) -> None:
    waiting = Waiting()
    dispatcher = desk.new_dispatcher(worker=desk.worker, watcher=waiting)

    await dispatcher.submit([outgoing("a"), outgoing("b"), outgoing("c", chat_id=8)])
    await turns()

    assert waiting.ids == ["b"]


async def test_a_watcher_is_not_notified_of_what_a_cap_refuses() -> None:
    desk, waiting = Desk(limits=replace(UNLIMITED, chat_cap=1)), Waiting()

    await desk.new_dispatcher(watcher=waiting).submit([outgoing("a"), outgoing("b")])

    assert waiting.ids == ["a"]
