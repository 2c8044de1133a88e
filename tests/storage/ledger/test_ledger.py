from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
from msgspec import structs
from sqlalchemy import select, text, update

from tempogram.engine.model.clock import SET_BACK_MS
from tempogram.engine.model.conversations import conversation
from tempogram.engine.model.errors import LedgerError, UnstorableValue
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import (
    KEPT_METHOD,
    KEPT_MS,
    PARKED_MS,
    Guarantee,
    Hold,
    Outgoing,
    PastSend,
    PausedBy,
    Priority,
    Rest,
    Spent,
    Status,
)
from tempogram.engine.ports.ledger import Accepted, Fault, Known, Ledger
from tempogram.storage.chats import Chats
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import messages, payloads
from tempogram.storage.ledger.ledger import SqlLedger, open_page
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tempogram.storage.messages import MessageHistory
from tests.engine.desk import Desk
from tests.storage.backends import BOT, CHAT, NOW_MS, OnPostgres, OnSqlite, became, message
from tests.storage.servers import DISCONNECT_OTHERS, run

HOUR_MS = 3_600_000
BLOCKED = "Forbidden: bot was blocked by the user"
NEVER = Fault(code=400, reason="Bad Request: message text is empty")


async def open_ids(ledger: Ledger) -> list[str]:
    return [each.id for each in await ledger.open_messages(after_id="", limit=1_000)]


async def status_of(ledger: Ledger, of: Outgoing) -> Status:
    """Ask by the message's ``dedup_key``, which it must have."""
    [known] = await ledger.known([of])
    assert known is not None
    return known.status


class LosesAnAnswer(SqlLedger):
    """Commits its first ``add``, and then loses the connection."""

    def __init__(self, ledger: SqlLedger) -> None:
        super().__init__(ledger._database)
        self._lost = False

    async def add(self, messages: Sequence[Outgoing]) -> list[Accepted | Known]:
        answers = await super().add(messages)
        if not self._lost:
            self._lost = True
            raise LedgerError("the connection broke")
        return answers


class LedgerContract:
    """What every ledger does, also the one in memory."""

    async def test_an_added_message_is_read_back_unchanged(self, ledger: Ledger) -> None:
        everything = message(
            chat_id="@news",
            method="sendMediaGroup",
            params=b'{"media":"\xf0\x9f\x8c\x8d"}',
            priority=Priority.LOW,
            cost=10,
            ready_at_ms=NOW_MS + 1,
            expires_at_ms=NOW_MS + 2,
            guarantee=Guarantee.AT_MOST_ONCE,
            dedup_key="spring",
            replaces="edit:7",
            user_id=501,
            is_paid=True,
            tag="spring sale",
        )

        answers = await ledger.add([everything])

        assert answers == [Accepted()]
        assert await ledger.open_messages(after_id="", limit=10) == [everything]

    @pytest.mark.parametrize("chat_id", [7, -1001234567890123, "@news", "inline:AbC-1", None])
    async def test_every_kind_of_chat_id_comes_back_as_itself(self, ledger: Ledger, chat_id: int | str | None) -> None:
        await ledger.add([message(chat_id=chat_id)])

        [back] = await ledger.open_messages(after_id="", limit=1)

        assert back.chat_id == chat_id
        assert type(back.chat_id) is type(chat_id)

    async def test_the_same_dedup_key_is_accepted_once(self, ledger: Ledger) -> None:
        first, second = message(dedup_key="order 1"), message(dedup_key="order 1")
        await ledger.add([first])

        answers = await ledger.add([second])

        assert answers == [Known(first.id, Status.QUEUED)]
        assert await open_ids(ledger) == [first.id]

    async def test_the_same_dedup_key_twice_in_one_call_is_accepted_once(self, ledger: Ledger) -> None:
        plain, first, second = message(), message(dedup_key="order 1"), message(dedup_key="order 1")

        answers = await ledger.add([plain, first, second])

        assert answers == [Accepted(), Accepted(), Known(first.id, Status.QUEUED)]

    async def test_the_same_dedup_key_from_two_callers_at_once_is_accepted_once(self, ledger: Ledger) -> None:
        twins = [message(dedup_key="order 1") for _ in range(20)]

        answers = await asyncio.gather(*(ledger.add([twin]) for twin in twins))

        assert answers[0] == [Accepted()]
        assert answers[1:] == [[Known(twins[0].id, Status.QUEUED)]] * 19

    async def test_the_same_dedup_key_of_another_bot_is_another_message(self, ledger: Ledger) -> None:
        answers = await ledger.add([message(dedup_key="order 1"), message(dedup_key="order 1", bot_id=43)])

        assert answers == [Accepted(), Accepted()]

    async def test_a_known_message_is_answered_with_its_status(self, ledger: Ledger) -> None:
        first = message(dedup_key="order 1")
        await ledger.add([first])
        await ledger.record([became(first, Status.SENT)])

        answers = await ledger.add([message(dedup_key="order 1")])

        assert answers == [Known(first.id, Status.SENT)]

    async def test_a_sent_message_is_known_with_its_telegram_message_id(self, ledger: Ledger) -> None:
        first, other = message(dedup_key="order 1"), message(dedup_key="order 2")
        await ledger.add([first])
        await ledger.record([became(first, Status.SENT, telegram_message_id=99)])

        known = await ledger.known([message(dedup_key="order 1"), message(), other])

        assert known == [Known(first.id, Status.SENT, 99), None, None]
        assert await ledger.add([message(dedup_key="order 1")]) == [Known(first.id, Status.SENT, 99)]

    async def test_where_messages_stand_is_answered_with_why_they_were_not_sent(self, ledger: Ledger) -> None:
        waiting, sent, refused, unknown = message(), message(), message(), message()
        await ledger.add([waiting, sent, refused])
        await ledger.record(
            [
                became(sent, Status.SENT, telegram_message_id=99, outcome="sent"),
                became(refused, Status.DEAD, fault=NEVER, outcome="rejected"),
            ]
        )

        standings = await ledger.standings([refused.id, waiting.id, unknown.id, sent.id])

        assert standings == [
            Known(refused.id, Status.DEAD, fault=NEVER),
            Known(waiting.id, Status.QUEUED),
            None,
            Known(sent.id, Status.SENT, 99),
        ]

    async def test_where_an_album_stands_is_answered_with_the_numbers_of_its_items(self, ledger: Ledger) -> None:
        album = message(method="sendMediaGroup", cost=2)
        await ledger.add([album])
        await ledger.record([became(album, Status.SENT, telegram_message_id=7, item_ids=(7, 8))])

        assert await ledger.standings([album.id]) == [Known(album.id, Status.SENT, 7, item_ids=(7, 8))]

    async def test_a_message_that_is_added_again_is_accepted_again_and_kept_once(self, ledger: Ledger) -> None:
        plain, keyed, stranger = message(), message(dedup_key="order 1"), message(dedup_key="order 1")
        await ledger.add([plain, keyed])

        answers = await ledger.add([plain, keyed, stranger])

        assert answers == [Accepted(), Accepted(), Known(keyed.id, Status.QUEUED)]
        assert await open_ids(ledger) == [plain.id, keyed.id]

    async def test_only_a_queued_message_can_be_cancelled(self, ledger: Ledger) -> None:
        waiting, sending, sent, unknown = message(), message(), message(), message()
        await ledger.add([waiting, sending, sent])
        await ledger.mark_sending([sending.id])
        await ledger.record([became(sent, Status.SENT)])

        answers = [await ledger.cancel(each.id, now_ms=NOW_MS) for each in (waiting, sending, sent, unknown)]

        assert answers == [True, False, False, False]
        assert await open_ids(ledger) == []

    async def test_many_messages_are_ended_together_and_one_that_has_ended_stays_as_it_is(self, ledger: Ledger) -> None:
        waiting, sending, sent, other = (message(dedup_key=key) for key in ("a", "b", "c", "d"))
        await ledger.add([waiting, sending, sent, other])
        await ledger.mark_sending([sending.id])
        await ledger.record([became(sent, Status.SENT)])

        ended = [waiting.id, sending.id, sent.id, "unknown"]
        await ledger.end_many(ended, status=Status.EXPIRED, fault=NEVER, now_ms=NOW_MS)

        statuses = [await status_of(ledger, each) for each in (waiting, sending, sent, other)]
        assert statuses == [Status.EXPIRED, Status.EXPIRED, Status.SENT, Status.QUEUED]
        assert await ledger.open_ids(after_id="", limit=9) == [other.id]
        assert await ledger.ended_since(0) == [sent.id]

    async def test_a_dead_letter_that_is_ended_again_stays_dead(self, ledger: Ledger) -> None:
        given_up = message(dedup_key="order 1")
        await ledger.add([given_up])
        await ledger.record([became(given_up, Status.DEAD, fault=NEVER)])

        await ledger.end_many([given_up.id], status=Status.EXPIRED, fault=NEVER, now_ms=NOW_MS)

        assert await status_of(ledger, given_up) is Status.DEAD

    async def test_the_ids_of_one_bots_queued_messages_come_in_pages(self, ledger: Ledger) -> None:
        mine, others = [message() for _ in range(3)], message(bot_id=BOT + 1)
        await ledger.add([*mine, others])

        first = await ledger.open_ids(after_id="", limit=2, bot_id=BOT)
        rest = await ledger.open_ids(after_id=first[-1], limit=2, bot_id=BOT)

        assert [*first, *rest] == [each.id for each in mine]

    async def test_a_cancelled_message_is_known_as_cancelled(self, ledger: Ledger) -> None:
        waiting = message(dedup_key="order 1")
        await ledger.add([waiting])

        await ledger.cancel(waiting.id, now_ms=NOW_MS)

        assert await status_of(ledger, waiting) is Status.CANCELLED

    async def test_a_cancellation_whose_answer_was_lost_may_be_written_again(self, ledger: Ledger) -> None:
        await ledger.add([waiting := message()])
        await ledger.cancel(waiting.id, now_ms=NOW_MS)

        assert await ledger.cancel(waiting.id, now_ms=NOW_MS)

    async def test_a_discarded_message_leaves_nothing_behind(self, ledger: Ledger) -> None:
        unwanted = message(dedup_key="order 1")
        await ledger.add([unwanted])

        await ledger.discard([unwanted.id])

        assert await open_ids(ledger) == []
        assert await ledger.add([message(dedup_key="order 1")]) == [Accepted()]

    async def test_ids_go_on_after_the_last_one_though_the_clock_stepped_back(self, ledger: Ledger) -> None:
        assert await ledger.last_id() == ""
        before, last = message(), message()
        await ledger.add([last, before])
        await ledger.record([became(last, Status.SENT)])

        ids = Ids(await ledger.last_id())

        assert last.id < ids.new(NOW_MS - 3_600_000) < ids.new(NOW_MS - 3_600_000)

    async def test_open_messages_come_in_pages_in_the_order_of_their_ids(self, ledger: Ledger) -> None:
        added = [message() for _ in range(5)]
        await ledger.add(added[::-1])

        first = await ledger.open_messages(after_id="", limit=3)
        second = await ledger.open_messages(after_id=first[-1].id, limit=3)

        assert first + second == added

    async def test_a_message_that_is_tried_again_stays_open_with_its_attempts(self, ledger: Ledger) -> None:
        tried = message()
        await ledger.add([tried])

        await ledger.record([became(tried, Status.QUEUED, attempt=2, ready_at_ms=NOW_MS + 9)])

        [back] = await ledger.open_messages(after_id="", limit=1)
        assert (back.attempt, back.ready_at_ms) == (2, NOW_MS + 9)

    @pytest.mark.parametrize("status", [Status.SENT, Status.CANCELLED, Status.EXPIRED, Status.UNCERTAIN])
    async def test_an_ended_message_is_not_open_any_more(self, ledger: Ledger, status: Status) -> None:
        ended = message()
        await ledger.add([ended])

        await ledger.record([became(ended, status)])

        assert await open_ids(ledger) == []

    async def test_a_final_status_never_changes(self, ledger: Ledger) -> None:
        given_up = message(dedup_key="order 1")
        await ledger.add([given_up])
        await ledger.record([became(given_up, Status.DEAD, fault=NEVER)])

        await ledger.record([became(given_up, Status.SENT, telegram_message_id=99)])

        assert await ledger.known([given_up]) == [Known(given_up.id, Status.DEAD)]

    async def test_two_records_of_one_message_in_one_call_take_effect_in_their_order(self, ledger: Ledger) -> None:
        sent = message(dedup_key="order 1")
        await ledger.add([sent])

        await ledger.record([became(sent, Status.QUEUED), became(sent, Status.SENT), became(sent, Status.QUEUED)])

        assert await status_of(ledger, sent) is Status.SENT

    async def test_a_message_marked_sending_is_not_given_out_again(self, ledger: Ledger) -> None:
        at_most_once = message(dedup_key="order 1", guarantee=Guarantee.AT_MOST_ONCE)
        await ledger.add([at_most_once])

        await ledger.mark_sending([at_most_once.id])

        assert await open_ids(ledger) == []
        assert await status_of(ledger, at_most_once) is Status.SENDING

    async def test_it_counts_how_often_the_lease_of_each_message_was_lost(self, ledger: Ledger) -> None:
        often, never = message(), message()
        await ledger.add([often, never])
        await ledger.record([became(each, Status.QUEUED, outcome="lost") for each in (often, often)])
        await ledger.record([became(each, Status.QUEUED, outcome="uncertain") for each in (often, never)])

        assert await ledger.times_lost([never.id, often.id, "unknown"]) == [0, 2, 0]

    @pytest.mark.parametrize(
        "tries",
        [[("uncertain", NOW_MS)], [("lost", NOW_MS)], [("failed", NOW_MS)], [("uncertain", NOW_MS), ("failed", None)]],
    )
    async def test_a_message_may_have_arrived_by_an_attempt_without_an_answer(
        self, ledger: Ledger, tries: list[tuple[str, int | None]]
    ) -> None:
        tried, never = message(), message()
        await ledger.add([tried, never])

        for outcome, counted_at_ms in tries:
            await ledger.record([became(tried, Status.QUEUED, outcome=outcome, counted_at_ms=counted_at_ms)])

        assert await ledger.may_have_arrived(tried)
        assert not await ledger.may_have_arrived(never)

    @pytest.mark.parametrize(("outcome", "counted_at_ms"), [("failed", None), ("throttled", NOW_MS)])
    async def test_a_message_cannot_have_arrived_by_an_attempt_that_never_left_or_was_refused(
        self, ledger: Ledger, outcome: str, counted_at_ms: int | None
    ) -> None:
        tried = message()
        await ledger.add([tried])
        await ledger.record([became(tried, Status.QUEUED, outcome=outcome, counted_at_ms=counted_at_ms)])

        assert not await ledger.may_have_arrived(tried)

    @pytest.mark.parametrize("chat_id", [CHAT, None, "inline:AbC"])
    async def test_what_waited_in_a_chat_when_the_queue_was_rebuilt_may_have_arrived(
        self, ledger: Ledger, chat_id: int | str | None
    ) -> None:
        before, elsewhere = message(chat_id=chat_id), message(chat_id=-9)
        at_ms = elsewhere.submitted_at_ms
        later = message(chat_id=chat_id, submitted_at_ms=at_ms + 1)
        await ledger.add([before, elsewhere, later])
        await ledger.presume([PastSend(BOT, chat_id, at_ms, 1)])

        assert await ledger.may_have_arrived(before)
        assert not await ledger.may_have_arrived(elsewhere)
        assert not await ledger.may_have_arrived(later)

    async def test_a_message_has_moved_with_its_group_if_it_was_submitted_before(self, ledger: Ledger) -> None:
        waiting, elsewhere = message(chat_id=-5), message(chat_id=-9)
        await ledger.add([waiting, elsewhere])
        moved_at_ms = elsewhere.submitted_at_ms
        moves = became(waiting, Status.QUEUED, outcome="migrated", migrated_to=-1_005)
        await ledger.record([replace(moves, recorded_at_ms=moved_at_ms, counted_at_ms=moved_at_ms)])
        after = message(chat_id=-1_005, submitted_at_ms=moved_at_ms + 1)
        to_the_old_id = message(chat_id=-5, submitted_at_ms=moved_at_ms + 1)
        await ledger.add([after, to_the_old_id])

        moved = [structs.replace(each, chat_id=-1_005) for each in (waiting, after, to_the_old_id)]
        assert [await ledger.has_moved(each) for each in (*moved, elsewhere)] == [True, False, True, False]

    async def test_a_channel_that_is_known_by_its_name_too_has_not_moved(self, ledger: Ledger) -> None:
        named = message(chat_id="@news")
        await ledger.add([named])
        await ledger.record([became(named, Status.SENT, outcome="sent", migrated_to=-1_005)])
        waiting = message(chat_id="@news")
        await ledger.add([waiting])

        assert not await ledger.has_moved(structs.replace(waiting, chat_id=-1_005))

    async def test_an_interrupted_at_most_once_message_is_uncertain(self, ledger: Ledger) -> None:
        interrupted, waiting = message(dedup_key="order 1", guarantee=Guarantee.AT_MOST_ONCE, cost=2), message()
        await ledger.add([interrupted, waiting])
        await ledger.mark_sending([interrupted.id])

        assert await ledger.settle_interrupted(NOW_MS) == 1

        assert await ledger.sends_since(NOW_MS, now_ms=NOW_MS) == [PastSend(BOT, CHAT, NOW_MS, 2)]
        assert await status_of(ledger, interrupted) is Status.UNCERTAIN
        assert await open_ids(ledger) == [waiting.id]

    async def test_beside_other_processes_only_calls_begun_long_ago_are_interrupted(self, ledger: Ledger) -> None:
        begun = message(dedup_key="order 1", guarantee=Guarantee.AT_MOST_ONCE)
        await ledger.add([begun])
        await ledger.mark_sending([begun.id])

        assert await ledger.settle_interrupted(NOW_MS, longer_than_ms=60_000) == 0
        assert await status_of(ledger, begun) is Status.SENDING
        await asyncio.sleep(0.01)  # the clock is the ledger's own
        assert await ledger.settle_interrupted(NOW_MS, longer_than_ms=1) == 1
        assert await status_of(ledger, begun) is Status.UNCERTAIN

    async def test_past_sends_are_those_that_telegram_counted_since(self, ledger: Ledger) -> None:
        early, late, unwritten, uncounted = message(), message(chat_id=-100, cost=3), message(), message(cost=0)
        await ledger.add([early, late, unwritten, uncounted])
        await ledger.record(
            [
                became(early, Status.SENT, counted_at_ms=NOW_MS - 1),
                became(late, Status.SENT, counted_at_ms=NOW_MS),
                became(unwritten, Status.QUEUED, counted_at_ms=None),
                became(uncounted, Status.SENT, counted_at_ms=NOW_MS),
            ]
        )

        assert await ledger.sends_since(NOW_MS, now_ms=NOW_MS) == [PastSend(BOT, -100, NOW_MS, 3)]

    async def test_ended_since_returns_messages_by_the_time_of_their_last_counted_call(self, ledger: Ledger) -> None:
        early, sent, tried, cancelled = message(), message(), message(), message()
        await ledger.add([early, sent, tried, cancelled])
        await ledger.record(
            [
                became(early, Status.SENT, counted_at_ms=NOW_MS - 1),
                became(sent, Status.QUEUED, counted_at_ms=NOW_MS),
                became(sent, Status.SENT, counted_at_ms=NOW_MS + 1),
                became(tried, Status.QUEUED, counted_at_ms=NOW_MS),
                became(cancelled, Status.CANCELLED, counted_at_ms=None),
            ]
        )
        await ledger.presume([PastSend(BOT, CHAT, NOW_MS, 1)])

        assert await ledger.ended_since(NOW_MS) == [sent.id]

    async def test_paid_calls_are_summed_by_minute_with_the_time_of_the_last(self, ledger: Ledger) -> None:
        minute_ms = NOW_MS // 60_000 * 60_000
        at_ms = (minute_ms - 1, minute_ms, minute_ms + 59_999, minute_ms + 60_000)
        sends = [message(cost=cost) for cost in (1, 2, 3, 4)]
        free = message()
        await ledger.add([*sends, free])
        paid = [
            became(each, Status.SENT, counted_at_ms=ms, is_paid=True) for each, ms in zip(sends, at_ms, strict=True)
        ]
        await ledger.record([*paid, became(free, Status.SENT, counted_at_ms=minute_ms)])
        await ledger.presume([PastSend(BOT, 5, minute_ms, 7, is_paid=True)])

        spent = sorted(await ledger.spent_since(minute_ms), key=lambda each: each.at_ms)

        assert spent == [Spent(BOT, minute_ms + 59_999, 12), Spent(BOT, minute_ms + 60_000, 4)]
        assert {each.is_paid for each in await ledger.sends_since(minute_ms, now_ms=minute_ms + 60_000)} == {
            True,
            False,
        }

    async def test_a_presumed_call_is_a_past_send(self, ledger: Ledger) -> None:
        presumed = [PastSend(BOT, -100, NOW_MS, 3), PastSend(BOT, None, NOW_MS, 1)]

        await ledger.presume(presumed)

        assert await ledger.sends_since(NOW_MS, now_ms=NOW_MS) == presumed

    async def test_an_end_without_a_call_is_no_past_send(self, ledger: Ledger) -> None:
        expired = message()
        await ledger.add([expired])

        await ledger.record([became(expired, Status.EXPIRED, outcome=None, started_at_ms=None, counted_at_ms=None)])

        assert await ledger.sends_since(0, now_ms=NOW_MS) == []

    async def test_a_later_hold_replaces_an_earlier_one_and_never_the_other_way_round(self, ledger: Ledger) -> None:
        await ledger.record_holds([Hold(BOT, CHAT, 50), Hold(BOT, CHAT, 70), Hold(BOT, None, 40)], now_ms=NOW_MS)

        await ledger.record_holds([Hold(BOT, CHAT, 60), Hold(BOT, None, 45)], now_ms=NOW_MS)

        assert set(await ledger.holds(40)) == {Hold(BOT, CHAT, 70), Hold(BOT, None, 45)}

    async def test_sends_of_a_clock_that_was_ahead_are_one_for_each_chat(self, ledger: Ledger) -> None:
        past, ahead = PastSend(BOT, CHAT, NOW_MS, 1), [PastSend(BOT, CHAT, NOW_MS + n, n) for n in (1, 2, 3)]
        await ledger.presume([past, *ahead, PastSend(BOT, CHAT, NOW_MS + 1, 4, is_paid=True)])

        sends = await ledger.sends_since(NOW_MS, now_ms=NOW_MS)

        assert sends[0] == past
        assert set(sends[1:]) == {PastSend(BOT, CHAT, NOW_MS + 3, 6), PastSend(BOT, CHAT, NOW_MS + 1, 4, is_paid=True)}

    async def test_after_the_clock_was_set_back_a_hold_ends_when_it_would_have(self, ledger: Ledger) -> None:
        await ledger.record_holds([Hold(BOT, CHAT, NOW_MS + 50_000), Hold(BOT, -5, NOW_MS + 7_000)], now_ms=NOW_MS)
        back_ms = NOW_MS - HOUR_MS
        await ledger.record_holds([Hold(BOT, None, back_ms + 9_000)], now_ms=back_ms)

        assert await ledger.follow_clock(back_ms) == HOUR_MS

        ends = {Hold(BOT, CHAT, back_ms + 50_000), Hold(BOT, -5, back_ms + 7_000), Hold(BOT, None, back_ms + 9_000)}
        assert set(await ledger.holds(back_ms)) == ends
        assert await ledger.follow_clock(back_ms) == 0

    async def test_after_the_clock_was_set_back_retries_come_as_soon_as_they_would_have(self, ledger: Ledger) -> None:
        back_ms, retry, timed, parked = NOW_MS - HOUR_MS, message(), message(ready_at_ms=NOW_MS + 9_000), message()
        await ledger.add([retry, timed, parked])
        for each, ready_at_ms in ((retry, NOW_MS + 5_000), (parked, PARKED_MS)):
            failed = became(each, Status.QUEUED, attempt=1, ready_at_ms=ready_at_ms, counted_at_ms=None)
            await ledger.record([replace(failed, recorded_at_ms=NOW_MS)])

        assert await ledger.follow_clock(back_ms) == HOUR_MS

        times = [each.ready_at_ms for each in await ledger.open_messages(after_id="", limit=9)]
        assert times == [back_ms + 5_000, NOW_MS + 9_000, PARKED_MS]

    async def test_a_clock_a_little_behind_was_not_set_back(self, ledger: Ledger) -> None:
        await ledger.presume([PastSend(BOT, CHAT, NOW_MS, 1)])
        hold = Hold(BOT, CHAT, NOW_MS + 5_000)
        await ledger.record_holds([hold], now_ms=NOW_MS)

        assert await ledger.follow_clock(NOW_MS - SET_BACK_MS + 1) == 0
        assert await ledger.holds(NOW_MS) == [hold]

    async def test_a_hold_that_is_over_is_not_returned(self, ledger: Ledger) -> None:
        await ledger.record_holds([Hold(BOT, CHAT, 50)], now_ms=NOW_MS)

        assert await ledger.holds(50) == []

    async def test_a_hold_comes_with_the_record_of_a_429(self, ledger: Ledger) -> None:
        throttled = message()
        await ledger.add([throttled])

        await ledger.record(
            [became(throttled, Status.QUEUED, attempt=0, outcome="Throttled", hold=Hold(BOT, CHAT, NOW_MS + 7_000))]
        )

        assert await ledger.holds(NOW_MS) == [Hold(BOT, CHAT, NOW_MS + 7_000)]

    async def test_a_chat_that_refuses_us_is_unreachable(self, ledger: Ledger) -> None:
        refused = message()
        await ledger.add([refused])

        await ledger.record([became(refused, Status.DEAD, fault=NEVER, unreachable=BLOCKED)])

        assert await ledger.unreachable_chats(limit=9) == [(BOT, CHAT, BLOCKED)]

    async def test_a_conversation_by_a_business_connection_is_unreachable_under_a_name_of_its_own(
        self, ledger: Ledger
    ) -> None:
        name = conversation(CHAT, "shop")

        await ledger.record([became(message(), Status.DEAD, fault=NEVER, unreachable=BLOCKED, conversation=name)])

        assert await ledger.unreachable_chats(limit=9) == [(BOT, name, BLOCKED)]
        assert await ledger.reach_of([(BOT, CHAT), (BOT, name)]) == {(BOT, name): (None, BLOCKED)}

    async def test_reach_of_returns_present_ids_and_why_chats_are_unreachable(self, ledger: Ledger) -> None:
        fault = Fault(code=403, reason=BLOCKED)
        await ledger.record([became(message(chat_id=-5), Status.QUEUED, migrated_to=-1005)])
        await ledger.record([became(message(chat_id=-6), Status.DEAD, fault=fault, unreachable=BLOCKED)])

        reach = await ledger.reach_of([(BOT, -5), (BOT, -6), (BOT, -7), (43, -5)])

        assert reach == {(BOT, -5): (-1005, None), (BOT, -6): (None, BLOCKED)}

    async def test_an_unreachable_chat_is_returned_under_its_present_id_only(self, ledger: Ledger) -> None:
        fault = Fault(code=403, reason="Forbidden: bot was kicked from the group chat")
        for chat_id in (-5, -6):
            await ledger.record([became(message(chat_id=chat_id), Status.DEAD, fault=fault, unreachable=fault.reason)])

        await ledger.record([became(message(chat_id=-5), Status.QUEUED, migrated_to=-1005)])

        assert await ledger.unreachable_chats(limit=9) == [(BOT, -6, fault.reason)]
        assert await ledger.unreachable_chats(limit=0) == []

    async def test_queued_messages_of_a_chat_come_in_pages_under_all_its_ids(self, ledger: Ledger) -> None:
        first, sent, other, foreign = message(chat_id="@chess"), message(chat_id=-5), message(), message(bot_id=43)
        await ledger.add([first, sent, other, foreign])
        await ledger.record([became(sent, Status.SENT)])
        await ledger.record([became(message(chat_id="@chess"), Status.SENT, migrated_to=-5)])
        late = message(chat_id="@chess")
        await ledger.add([late])

        page = await ledger.open_of_chat(BOT, -5, after_id="", limit=1)
        rest = await ledger.open_of_chat(BOT, -5, after_id=page[-1].id, limit=9)

        assert [(each.id, each.chat_id) for each in (*page, *rest)] == [(first.id, -5), (late.id, -5)]

    async def test_the_rest_of_an_album_replaces_it_and_only_arrived_items_count(self, ledger: Ledger) -> None:
        album = message(method="sendMediaGroup", params=b'{"media":[1,2,3]}', cost=3)
        rest = Rest("sendPhoto", b'{"photo":3}', cost=1)
        await ledger.add([album])

        half = became(album, Status.QUEUED, attempt=0, outcome="halfsent", cost=2, delivered_items=2, rest=rest)
        await ledger.record([half])

        [back] = await ledger.open_messages(after_id="", limit=1)
        assert back == rest.of(album)
        assert [send.cost for send in await ledger.sends_since(0, now_ms=NOW_MS)] == [2]

    async def test_a_waiting_message_takes_another_content_and_time(self, ledger: Ledger) -> None:
        amended, other = message(guarantee=Guarantee.AT_MOST_ONCE, dedup_key="spring", ready_at_ms=NOW_MS), message()
        await ledger.add([amended, other])
        now = structs.replace(amended, method="sendPhoto", params=b'{"photo":"1"}', ready_at_ms=NOW_MS + 1)

        await ledger.amend([now])

        assert await ledger.open_messages(after_id="", limit=10) == [now, other]

    async def test_nothing_but_content_and_time_is_amended(self, ledger: Ledger) -> None:
        kept = message(expires_at_ms=NOW_MS, replaces="edit:7", user_id=5)
        await ledger.add([kept])
        others = {"bot_id": 43, "chat_id": 8, "priority": Priority.LOW, "expires_at_ms": None, "user_id": None}

        await ledger.amend([structs.replace(kept, params=b"{}", **others)])

        assert await ledger.open_messages(after_id="", limit=10) == [structs.replace(kept, params=b"{}")]

    async def test_an_amendment_of_the_content_and_one_of_the_time_are_both_kept(self, ledger: Ledger) -> None:
        first, second, third = [message(ready_at_ms=PARKED_MS) for _ in range(3)]
        await ledger.add([first, second, third])
        content = [structs.replace(each, params=b"1", ready_at_ms=KEPT_MS) for each in (first, second)]
        time = [structs.replace(each, method=KEPT_METHOD, params=b"", ready_at_ms=0) for each in (second, third)]

        await ledger.amend([*content, *time])

        assert await ledger.open_messages(after_id="", limit=10) == [
            structs.replace(first, params=b"1"),
            structs.replace(second, params=b"1", ready_at_ms=0),
            structs.replace(third, ready_at_ms=0),
        ]

    async def test_of_two_amendments_of_one_message_the_last_is_kept(self, ledger: Ledger) -> None:
        twice = message()
        await ledger.add([twice])

        await ledger.amend([structs.replace(twice, params=b"1"), structs.replace(twice, params=b"2")])

        assert [each.params for each in await ledger.open_messages(after_id="", limit=10)] == [b"2"]

    async def test_a_message_that_was_tried_keeps_its_time_when_it_is_amended(self, ledger: Ledger) -> None:
        tried = message()
        await ledger.add([tried])
        await ledger.record([became(tried, Status.QUEUED, ready_at_ms=NOW_MS + 500)])

        await ledger.amend([structs.replace(tried, params=b"{}", ready_at_ms=NOW_MS + 9)])

        [back] = await ledger.open_messages(after_id="", limit=1)
        assert (back.params, back.attempt, back.ready_at_ms) == (b"{}", 1, NOW_MS + 500)

    async def test_an_album_of_which_a_part_was_sent_stays_its_rest_when_it_is_amended(self, ledger: Ledger) -> None:
        album = message(method="sendMediaGroup", params=b'{"media":[1,2,3]}', cost=3)
        rest = Rest("sendPhoto", b'{"photo":3}', cost=1)
        await ledger.add([album])
        await ledger.record([became(album, Status.QUEUED, attempt=0, outcome="halfsent", cost=2, rest=rest)])

        await ledger.amend([structs.replace(album, params=b'{"media":[4,5,6]}')])

        assert await ledger.open_messages(after_id="", limit=1) == [rest.of(album)]

    async def test_amending_a_message_that_was_sent_or_is_unknown_opens_nothing(self, ledger: Ledger) -> None:
        sent, unknown = message(), message()
        await ledger.add([sent])
        await ledger.record([became(sent, Status.SENT)])

        await ledger.amend([sent, unknown])

        assert await open_ids(ledger) == []

    async def test_a_group_that_migrated_takes_its_open_messages_and_its_hold_with_it(self, ledger: Ledger) -> None:
        sent, migrated, waiting, elsewhere = (message(chat_id=chat_id) for chat_id in (-5, -5, -5, -6))
        await ledger.add([sent, migrated, waiting, elsewhere])
        await ledger.record([became(sent, Status.SENT, hold=Hold(BOT, -5, NOW_MS + 1))])

        await ledger.record([became(migrated, Status.QUEUED, migrated_to=-1005, counted_at_ms=None)])

        chats = {each.id: each.chat_id for each in await ledger.open_messages(after_id="", limit=10)}
        assert chats == {migrated.id: -1005, waiting.id: -1005, elsewhere.id: -6}
        assert await ledger.holds(NOW_MS) == [Hold(BOT, -1005, NOW_MS + 1)]
        assert [send.chat_id for send in await ledger.sends_since(0, now_ms=NOW_MS)] == [-1005]

    async def test_the_old_id_of_a_group_is_an_alias_of_the_new_one(self, ledger: Ledger) -> None:
        migrated = message(chat_id=-5)
        await ledger.add([migrated])

        await ledger.record([became(migrated, Status.QUEUED, migrated_to=-1005, counted_at_ms=None)])

        assert await ledger.aliases() == [(BOT, -5, -1005, NOW_MS + 200)]

    async def test_open_messages_of_one_bot_come_without_those_of_others(self, ledger: Ledger) -> None:
        one, other, another = message(), message(bot_id=43), message()
        await ledger.add([one, other, another])

        assert await ledger.open_messages(after_id="", limit=10, bot_id=BOT) == [one, another]

    async def test_open_messages_are_counted_by_priority_and_those_tried_apart(self, ledger: Ledger) -> None:
        fresh, later = message(priority=Priority.HIGH), message(priority=Priority.LOW, ready_at_ms=NOW_MS * 2)
        failed, throttled, marked, sent = message(), message(priority=Priority.LOW), message(), message()
        await ledger.add([fresh, later, failed, throttled, marked, sent])
        await ledger.record(
            [
                became(failed, Status.QUEUED, outcome="failed"),
                became(throttled, Status.QUEUED, outcome="throttled", attempt=0),
                became(marked, Status.QUEUED, outcome="failed"),
                became(sent, Status.SENT, outcome="sent"),
            ]
        )
        await ledger.mark_sending([marked.id])

        counts = await ledger.open_counts()

        waiting = {each: count for each, count in counts.waiting.items() if count}
        assert waiting == {Priority.HIGH: 1, Priority.NORMAL: 1, Priority.LOW: 1}
        assert counts.retry == 2

    async def test_ids_of_open_messages_come_in_pages(self, ledger: Ledger) -> None:
        first, second, third, ended = (message() for _ in range(4))
        await ledger.add([first, second, third, ended])
        await ledger.record([became(ended, Status.SENT)])

        page = await ledger.open_ids(after_id="", limit=2)
        rest = await ledger.open_ids(after_id=page[-1], limit=2)

        assert (page, rest) == ([first.id, second.id], [third.id])

    async def test_ids_of_open_messages_with_a_tag_come_without_the_others(self, ledger: Ledger) -> None:
        spring = [message(tag="spring") for _ in range(3)]
        ended, plain, other = message(tag="spring"), message(), message(tag="Spring")
        await ledger.add([*spring, ended, plain, other])
        await ledger.record([became(ended, Status.SENT)])

        first = await ledger.open_ids(after_id="", limit=2, tag="spring")
        rest = await ledger.open_ids(after_id=first[-1], limit=2, tag="spring")

        assert (first, rest) == ([each.id for each in spring[:2]], [spring[2].id])
        assert await ledger.open_ids(after_id="", limit=9, tag="autumn") == []

    async def test_open_among_returns_those_that_are_still_queued(self, ledger: Ledger) -> None:
        waiting, ended = message(), message()
        await ledger.add([waiting, ended])
        await ledger.record([became(ended, Status.SENT)])

        assert await ledger.open_among([ended.id, waiting.id, "unknown"]) == [waiting]
        assert await ledger.open_among([]) == []

    async def test_a_paused_bot_is_paused_until_it_is_resumed(self, ledger: Ledger) -> None:
        await ledger.pause(BOT, paused=True)
        await ledger.pause(43, paused=True)

        await ledger.pause(BOT, paused=False)

        assert await ledger.paused_bots() == [43]

    async def test_only_the_first_of_several_refusals_of_a_token_pauses_its_bot(self, ledger: Ledger) -> None:
        answers = [await ledger.pause(BOT, paused=True, by=PausedBy.TOKEN) for _ in range(3)]

        assert answers == [True, False, False]
        assert await ledger.paused_bots() == [BOT]

    async def test_a_valid_token_changes_nothing_of_a_bot_that_the_ledger_does_not_know(self, ledger: Ledger) -> None:
        assert not await ledger.pause(BOT, paused=False, by=PausedBy.TOKEN)
        assert await ledger.paused_bots() == []

    async def test_a_valid_token_ends_only_the_pause_that_a_revoked_one_began(self, ledger: Ledger) -> None:
        await ledger.pause(BOT, paused=True, by=PausedBy.TOKEN)
        assert await ledger.pause(BOT, paused=False, by=PausedBy.TOKEN)
        assert await ledger.paused_bots() == []

        await ledger.pause(BOT, paused=True, by=PausedBy.TOKEN)
        await ledger.pause(BOT, paused=True)
        assert not await ledger.pause(BOT, paused=True, by=PausedBy.TOKEN)
        assert not await ledger.pause(BOT, paused=False, by=PausedBy.TOKEN)
        assert await ledger.paused_bots() == [BOT]

    async def test_a_batch_larger_than_any_statement_is_written_whole(self, ledger: Ledger) -> None:
        added = [message() for _ in range(1_300)]

        await ledger.add(added)
        await ledger.record([became(each, Status.SENT) for each in added[:1_299]])

        assert await open_ids(ledger) == [added[-1].id]


class SqlLedgerContract(LedgerContract):
    """And what only one in a database does: transactions, a history, and values and callers that it refuses."""

    @pytest.fixture
    def ledger(self, database: Database) -> Ledger:
        return SqlLedger(database)

    async def test_a_call_marked_before_the_databases_clock_was_set_back_is_interrupted_as_if_begun_now(
        self, ledger: Ledger, database: Database
    ) -> None:
        begun = message(dedup_key="order 1", guarantee=Guarantee.AT_MOST_ONCE)
        await ledger.add([begun])
        await ledger.mark_sending([begun.id])
        ahead = update(messages).values(sending_since_ms=messages.c.sending_since_ms + HOUR_MS)
        await database.write_alone(lambda connection: connection.execute(ahead))

        assert await ledger.settle_interrupted(NOW_MS, longer_than_ms=60_000) == 0
        await asyncio.sleep(0.01)  # the clock is the database's own
        assert await ledger.settle_interrupted(NOW_MS, longer_than_ms=1) == 1

    async def test_callers_that_meet_share_a_transaction(self, ledger: Ledger, database: Database) -> None:
        added = [message() for _ in range(100)]

        await asyncio.gather(*(ledger.add([each]) for each in added))

        assert await open_ids(ledger) == [each.id for each in added]
        assert database.transactions < 100

    @pytest.mark.parametrize("key", [None, "order 1"])
    async def test_a_submission_whose_commit_was_not_answered_is_accepted_and_queued(
        self, database: Database, key: str | None
    ) -> None:
        desk = Desk()
        lossy = LosesAnAnswer(SqlLedger(database))
        dispatcher = desk.new_dispatcher(ledger=lossy)
        submitted = message(dedup_key=key)

        answers = await dispatcher.submit([submitted])

        assert answers == [Accepted()]
        assert await open_ids(lossy) == [submitted.id]
        assert await desk.broker.knows([submitted.id]) == [True]

    @pytest.mark.parametrize("poison", [{"dedup_key": "\ud800"}, {"bot_id": 1 << 70}, {"user_id": 1 << 63}])
    async def test_a_value_that_no_database_takes_is_refused_alone(
        self, ledger: Ledger, poison: dict[str, object]
    ) -> None:
        neighbours = [message(), message()]

        answers = await asyncio.gather(
            ledger.add([neighbours[0]]),
            ledger.add([message(**poison)]),
            ledger.add([neighbours[1]]),
            return_exceptions=True,
        )

        assert [type(answer) for answer in answers] == [list, UnstorableValue, list]
        assert await open_ids(ledger) == [each.id for each in neighbours]

    async def test_cancelling_a_caller_does_not_cancel_its_write(self, ledger: Ledger, database: Database) -> None:
        added = message()
        caller = asyncio.ensure_future(ledger.add([added]))
        await asyncio.sleep(0)

        caller.cancel()
        await ledger.add([message()])

        assert caller.cancelled()
        assert added.id in await open_ids(ledger)

    async def test_a_closed_database_refuses_every_caller(self, ledger: Ledger, database: Database) -> None:
        await database.close()

        answers = await asyncio.gather(
            ledger.add([message()]), ledger.record([became(message(), Status.SENT)]), return_exceptions=True
        )

        assert [str(answer) for answer in answers] == ["the database is closed"] * 2

    async def test_waiting_writes_are_written_before_the_database_closes(self, url: str) -> None:
        database = await Database.open(url)
        added = [message() for _ in range(30)]
        adding = asyncio.gather(*(SqlLedger(database).add([each]) for each in added))
        await asyncio.sleep(0)

        await database.close()

        assert await adding == [[Accepted()]] * 30

    async def test_a_dead_album_is_replayed_without_the_items_that_arrived(
        self, ledger: Ledger, database: Database
    ) -> None:
        album = message(method="sendMediaGroup", params=b'{"media":[1,2,3]}', cost=3)
        rest = Rest("sendPhoto", b'{"photo":3}', cost=1)
        await ledger.add([album])
        await ledger.record([became(album, Status.DEAD, fault=Fault(code=400, reason="no"), rest=rest)])

        [replayed] = await MessageHistory(database).replay([album.id])

        assert (replayed.method, replayed.params, replayed.cost) == (rest.method, rest.params, rest.cost)

    async def test_a_message_that_died_while_it_was_amended_is_replayed_as_it_was_refused(
        self, ledger: Ledger, database: Database
    ) -> None:
        dead = message()
        await ledger.add([dead])
        await ledger.record([became(dead, Status.DEAD, fault=NEVER)])

        await ledger.amend([structs.replace(dead, method="sendPhoto", params=b"{}")])
        [replayed] = await MessageHistory(database).replay([dead.id])

        assert (replayed.method, replayed.params) == ("sendPhoto", b"{}")

    async def test_a_message_that_was_sent_while_it_was_amended_keeps_no_payload(
        self, ledger: Ledger, database: Database
    ) -> None:
        sent = message()
        await ledger.add([sent])
        await ledger.record([became(sent, Status.SENT)])

        await ledger.amend([structs.replace(sent, method="sendPhoto")])

        state = await MessageHistory(database).message(sent.id)
        assert state is not None
        assert (state.status, state.method) == (Status.SENT, "sendMessage")
        async with database.reading() as connection:
            assert (await connection.execute(select(payloads))).all() == []

    async def test_amendments_that_meet_share_a_transaction(self, ledger: Ledger, database: Database) -> None:
        added = [message() for _ in range(100)]
        await ledger.add(added)
        before = database.transactions

        await asyncio.gather(*(ledger.amend([structs.replace(each, params=b"{}")]) for each in added))

        assert {each.params for each in await ledger.open_messages(after_id="", limit=100)} == {b"{}"}
        assert database.transactions - before < 100

    async def test_a_late_record_of_half_an_album_changes_nothing(self, ledger: Ledger, database: Database) -> None:
        album = message(method="sendMediaGroup", cost=3)
        await ledger.add([album])
        await ledger.record([became(album, Status.SENT)])

        await ledger.record([became(album, Status.QUEUED, rest=Rest("sendPhoto", b"{}", cost=1))])

        state = await MessageHistory(database).message(album.id)
        assert state is not None
        assert (state.status, state.method, state.cost) == (Status.SENT, "sendMediaGroup", 3)

    async def test_what_many_ended_messages_would_have_sent_is_deleted_with_them(
        self, ledger: Ledger, database: Database
    ) -> None:
        ended, waiting = [message() for _ in range(3)], message()
        await ledger.add([*ended, waiting])

        await ledger.end_many([each.id for each in ended], status=Status.EXPIRED, fault=NEVER, now_ms=NOW_MS)

        async with database.reading() as connection:
            assert list((await connection.execute(select(payloads.c.message_id))).scalars()) == [waiting.id]

    async def test_a_dead_letter_is_not_changed_by_a_late_record_and_keeps_its_payload(
        self, ledger: Ledger, database: Database
    ) -> None:
        given_up = message()
        await ledger.add([given_up])
        await ledger.record([became(given_up, Status.DEAD, fault=NEVER)])

        await ledger.record([became(given_up, Status.SENT)])

        assert [each.id for each in await MessageHistory(database).replay([given_up.id])] == [given_up.id]

    async def test_a_dead_letter_that_is_ended_again_with_others_keeps_its_payload(
        self, ledger: Ledger, database: Database
    ) -> None:
        given_up, waiting = message(), message()
        await ledger.add([given_up, waiting])
        await ledger.record([became(given_up, Status.DEAD, fault=NEVER)])

        await ledger.end_many([given_up.id, waiting.id], status=Status.EXPIRED, fault=NEVER, now_ms=NOW_MS)

        replayed = await MessageHistory(database).replay([given_up.id])
        assert [(each.id, each.params) for each in replayed] == [(given_up.id, given_up.params)]

    async def test_a_chat_that_refuses_us_is_written_down_with_the_reason(
        self, ledger: Ledger, database: Database
    ) -> None:
        refused = message()
        await ledger.add([refused])

        await ledger.record([became(refused, Status.DEAD, fault=NEVER, unreachable=BLOCKED)])

        chat = await Chats(database).get(BOT, CHAT)
        assert chat is not None
        assert (chat.reachable, chat.reason) == (False, BLOCKED)

    async def test_an_attempt_names_how_many_items_of_an_album_arrived(
        self, ledger: Ledger, database: Database
    ) -> None:
        album = message(method="sendMediaGroup", params=b'{"media":[1,2,3]}', cost=3)
        await ledger.add([album])

        await ledger.record([became(album, Status.QUEUED, attempt=0, outcome="halfsent", cost=2, delivered_items=2)])

        state = await MessageHistory(database).message(album.id)
        assert state is not None
        assert [each.delivered_items for each in state.attempts] == [2]


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger()

    def test_importing_it_imports_no_database(self) -> None:
        loaded = "import sys, tempogram.storage.ledger.memory_ledger; print('sqlalchemy' in sys.modules)"

        assert (
            subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True).stdout
            == "False\n"
        )


class TestLedgerOnSqlite(OnSqlite, SqlLedgerContract):
    async def test_a_page_of_one_bots_messages_is_read_in_order_and_never_sorted(self, database: Database) -> None:
        page = open_page(select(messages.c.id), after_id="", limit=1_000, bot_id=BOT)
        async with database.reading() as connection:
            statement = page.compile(connection.sync_engine, compile_kwargs={"literal_binds": True})
            plan = [row.detail for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))]

        assert plan == ["SEARCH messages USING INDEX messages_open (id>?)"]

    async def test_open_messages_with_a_tag_are_found_by_an_index_of_their_own(self, database: Database) -> None:
        page = open_page(select(messages.c.id), after_id="", limit=1_000, bot_id=None).where(messages.c.tag == "a")
        async with database.reading() as connection:
            statement = page.compile(connection.sync_engine, compile_kwargs={"literal_binds": True})
            plan = [row.detail for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))]

        assert plan == ["SEARCH messages USING INDEX messages_open_with_tag (tag=? AND id>?)"]


class TestLedgerOnPostgres(OnPostgres, SqlLedgerContract):
    async def test_after_a_lost_connection_callers_are_refused_and_the_next_ones_served(
        self, ledger: Ledger, url: str
    ) -> None:
        await ledger.add([message()])
        await run(url, DISCONNECT_OTHERS)

        refused = await asyncio.gather(*(ledger.add([message()]) for _ in range(3)), return_exceptions=True)
        answers = await ledger.add([message()])

        assert [type(answer) for answer in refused] == [LedgerError] * 3
        assert answers == [Accepted()]
        assert len(await open_ids(ledger)) == 2

    async def test_two_processes_that_bring_the_same_keys_accept_each_once(self, ledger: Ledger, url: str) -> None:
        other = await Database.open(url)
        keys = [str(number) for number in range(50)]

        here, there = await asyncio.gather(
            ledger.add([message(dedup_key=key) for key in keys]),
            SqlLedger(other).add([message(dedup_key=key) for key in keys[::-1]]),
        )

        await other.close()
        assert (here + there).count(Accepted()) == 50
        assert len(await open_ids(ledger)) == 50
