"""A refusal is judged by what happened to its message before."""

from __future__ import annotations

import pytest
from msgspec import structs

from tempogram.engine.model.messages import Rest, Status
from tempogram.engine.model.outcomes import (
    Answer,
    Doubt,
    Failed,
    Migrated,
    Outcome,
    Rejected,
    Sent,
    Throttled,
    Uncertain,
    Unquoted,
)
from tempogram.engine.ports import Result
from tests.engine.desk import LEASE_MS, Desk
from tests.fakes import START_MS, outgoing

DONE = Sent(7, b'{"ok":true,"result":true}')
NOT_MODIFIED = Rejected(400, "Bad Request: message is not modified", doubt=Doubt(if_done=DONE))
NO_QUOTE = "Bad Request: message to be replied not found"
WITHOUT = Unquoted(Rest("sendMessage", b'{"text":"no quote"}', 1), NO_QUOTE)
UNKNOWN_REPLY = Rejected(400, NO_QUOTE, doubt=Doubt(if_moved=WITHOUT))
UNKNOWN_EDIT = Rejected(400, "gone", doubt=Doubt(if_moved=Rejected(400, "gone, because the group has moved")))
GROUP, SUPERGROUP = -5, -1_005


async def retried(desk: Desk, *replies: Outcome | Answer) -> Outcome:
    """Submit an edit, and make its calls until the last of these answers."""
    outcome = await desk.deliver(*replies, message=outgoing("a", method="editMessageText"))
    for _ in replies[1:]:
        desk.clock.advance(60_000)
        outcome = await desk.send(await desk.lease())
    return outcome


@pytest.mark.parametrize(
    "lost", [Uncertain("ReadTimeout"), Failed("Gateway Timeout", 504)], ids=lambda each: each.reason
)
async def test_an_edit_that_took_effect_without_an_answer_is_sent_when_nothing_is_left_to_edit(
    desk: Desk, lost: Outcome
) -> None:
    waiting = desk.results.expect("a")

    outcome = await retried(desk, lost, NOT_MODIFIED)

    assert outcome == DONE
    assert waiting.result() == Result("a", Status.SENT, DONE)
    assert desk.ledger.statuses["a"] is Status.SENT
    assert desk.ledger.records[-1].telegram_message_id == 7


@pytest.mark.parametrize(
    "before",
    [(), (Throttled(1_000),), (Answer(Failed("ConnectionRefusedError"), counted_at_ms=None),)],
    ids=["at the first call", "after a 429", "after a call that never left"],
)
async def test_an_edit_that_changes_nothing_is_refused_if_no_call_before_it_can_have_done_it(
    desk: Desk, before: tuple[Outcome | Answer, ...]
) -> None:
    outcome = await retried(desk, *before, NOT_MODIFIED)

    assert outcome == NOT_MODIFIED.without_doubt()
    assert desk.ledger.statuses["a"] is Status.DEAD


async def test_an_edit_of_a_worker_that_lost_its_lease_may_have_arrived(desk: Desk) -> None:
    await desk.leased(outgoing("a", method="editMessageText"))
    desk.clock.advance(LEASE_MS)
    await desk.recoverer.recover_once()
    desk.clock.advance(60_000)

    desk.transport.answers(NOT_MODIFIED)

    assert await desk.send(await desk.lease()) == DONE


async def test_an_edit_that_waited_when_the_process_was_killed_may_have_arrived(desk: Desk) -> None:
    edit = outgoing("a", method="editMessageText")
    await desk.leased(edit)
    await desk.restart()
    desk.clock.advance(60_000)

    desk.transport.answers(NOT_MODIFIED)

    assert await desk.send(await desk.lease()) == DONE


async def test_what_an_earlier_process_did_not_learn_is_known_after_a_restart(desk: Desk) -> None:
    await desk.deliver(Uncertain("ReadTimeout"), message=outgoing("a", method="editMessageText"))
    await desk.restart()
    desk.clock.advance(60_000)

    desk.transport.answers(NOT_MODIFIED)

    assert await desk.send(await desk.lease()) == DONE


async def test_a_doubt_is_resolved_as_soon_as_the_ledger_can_be_read(desk: Desk) -> None:
    await desk.deliver(Uncertain("ReadTimeout"), message=outgoing("a", method="editMessageText"))
    desk.clock.advance(60_000)
    desk.ledger.unread = 2
    desk.transport.answers(NOT_MODIFIED)

    assert await desk.send(await desk.lease()) == DONE


# Groups that have moved


async def test_a_reply_that_waited_while_its_group_moved_goes_without_its_quote(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=GROUP), outgoing("reply", chat_id=GROUP))
    desk.transport.answers(Migrated(SUPERGROUP), Sent(1), UNKNOWN_REPLY)

    await desk.work()

    assert desk.sent == ["a", "a", "reply", "reply"]
    assert desk.transport.leases[-1].message.params == WITHOUT.rest.params
    assert desk.ledger.statuses["reply"] is Status.SENT
    assert [each.outcome for each in desk.ledger.records if each.message_id == "reply"] == ["unquoted", "sent"]
    assert desk.ledger.records[-1].attempt == 1


async def test_a_group_that_moved_is_known_before_the_queue_gives_out_what_waits_for_it(desk: Desk) -> None:
    waiting = outgoing("b", chat_id=SUPERGROUP)
    known: list[bool] = []

    async def note() -> None:
        known.append(desk.reachability.may_have_moved(waiting))

    desk.broker.before_settling = note

    await desk.deliver(Migrated(SUPERGROUP), message=outgoing("a", chat_id=GROUP))

    assert known == [True]


async def test_a_reply_to_the_old_id_of_a_group_goes_without_its_quote(desk: Desk) -> None:
    await desk.deliver(Migrated(SUPERGROUP), message=outgoing("a", chat_id=GROUP))
    await desk.work()
    desk.clock.advance(60_000)

    outcome = await desk.deliver(UNKNOWN_REPLY, message=outgoing("reply", chat_id=GROUP))

    assert outcome == WITHOUT


async def test_a_reply_to_nothing_in_a_chat_that_has_not_moved_is_refused(desk: Desk) -> None:
    await desk.deliver(Migrated(SUPERGROUP), message=outgoing("a", chat_id=GROUP))
    await desk.work()
    desk.clock.advance(1)

    outcome = await desk.deliver(
        UNKNOWN_REPLY, message=structs.replace(outgoing("reply", chat_id=SUPERGROUP), submitted_at_ms=desk.clock())
    )
    elsewhere = await desk.deliver(UNKNOWN_REPLY, message=outgoing("elsewhere", chat_id=-9))

    assert outcome == elsewhere == UNKNOWN_REPLY.without_doubt()
    assert desk.ledger.statuses["reply"] is Status.DEAD


async def test_an_edit_of_a_message_that_stayed_in_the_old_group_is_dead_with_the_reason(desk: Desk) -> None:
    await desk.accept(outgoing("a", chat_id=GROUP), outgoing("edit", chat_id=GROUP))
    desk.transport.answers(Migrated(SUPERGROUP), Sent(1), UNKNOWN_EDIT)

    await desk.work()

    (record,) = [each for each in desk.ledger.records if each.message_id == "edit"]
    assert (record.status, record.fault and record.fault.reason) == (Status.DEAD, "gone, because the group has moved")


# Removed at once


async def test_a_message_that_its_chat_removed_at_once_is_sent_and_not_sent_again(desk: Desk) -> None:
    reason = "Internal Server Error: sent message was immediately deleted"

    await desk.deliver(Sent(None, b"{}", removed=reason))
    await desk.work()

    (record,) = desk.ledger.records
    assert desk.sent == ["a"]
    assert (record.status, record.telegram_message_id) == (Status.SENT, None)
    assert (record.fault and record.fault.reason, record.counted_at_ms) == (reason, START_MS)
