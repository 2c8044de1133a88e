from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from tempogram.engine.broadcasts import feeder
from tempogram.engine.broadcasts.board import BroadcastConflict
from tempogram.engine.closing.closer import End
from tempogram.engine.limits.limits import DAY_MS, Limit, Limits
from tempogram.engine.model.broadcasts import Addressee, Broadcast, BroadcastState, Content, Outcome, Stars, Totals
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import ChatId, Outgoing, Status
from tempogram.engine.model.selection import QuietHours, Recipient, Rules, Selection
from tempogram.engine.ports import Fault
from tempogram.engine.ports.broadcast_store import OPTED_OUT
from tempogram.engine.selection.days import local_day
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import broadcast_recipients, chats
from tempogram.storage.ledger import chats as chat_writes
from tempogram.storage.messages import MessageHistory
from tempogram.storage.retention import BROADCASTS_MS, Retention, RetentionPeriods
from tests.broadcasts import BOT, REFUSED_TEXT, BroadcastWorld, plan
from tests.storage.backends import OnPostgres, OnSqlite

CHATS = range(1, 451)


class BroadcastsContract:
    @pytest.fixture
    async def world(self, database: Database) -> BroadcastWorld:
        world = BroadcastWorld(database)
        await world.add_chats(CHATS)
        return world

    async def test_a_plan_is_read_as_it_was_stored(self, world: BroadcastWorld) -> None:
        of = plan(
            selection=Selection(bot_id=BOT, chats=(7, "@news"), tags=("vip",), active_days=3),
            content=Content(method="sendPhoto", params={"photo": "x", "caption_entities": []}),
            quiet_hours=QuietHours(from_minute=1, until_minute=2),
            at_minute=600,
        )

        made = await world.store.create("spring", of, now_ms=7)

        assert await world.store.get(made.id) == Broadcast(id=made.id, name="spring", plan=of, created_at_ms=7)
        assert await world.store.get(made.id + 1) is None

    async def test_each_chat_gets_it_once(self, world: BroadcastWorld) -> None:
        broadcast = await world.started()

        await world.run_until_idle()

        assert world.sent == dict.fromkeys(CHATS, 1)
        done = await world.board.get(broadcast.id)
        assert (done.state, done.recipients, done.outcomes) == (
            BroadcastState.DONE,
            len(CHATS),
            {Outcome.SENT: len(CHATS)},
        )
        assert await world.store.active() == []

    async def test_a_draft_sends_nothing(self, world: BroadcastWorld) -> None:
        await world.board.create("news", plan())

        assert not await world.feeder.step()
        assert await world.send_all() == 0

    async def test_one_message_goes_ahead_until_telegram_knows_the_files(self, world: BroadcastWorld) -> None:
        world.knows_files = False
        await world.started()

        await world.feeder.step()
        await world.feeder.step()
        assert await world.send_all() == 1
        world.knows_files = True
        await world.run_until_idle()

        assert world.sent == dict.fromkeys(CHATS, 1)

    async def test_a_broadcast_is_paused_if_its_files_arrive_and_are_still_not_known(
        self, world: BroadcastWorld
    ) -> None:
        world.knows_files = False
        broadcast = await world.started()

        await world.run_until_idle()

        paused = await world.board.get(broadcast.id)
        assert (paused.state, paused.problem) == (BroadcastState.PAUSED, feeder.NO_FILE_ID)
        assert world.sent.total() == feeder.UPLOADS_MAX
        assert (await world.board.resume(broadcast.id)).problem is None

    async def test_messages_that_do_not_arrive_do_not_count_against_the_files(self, world: BroadcastWorld) -> None:
        world.knows_files, some = False, tuple(CHATS[: 2 * feeder.UPLOADS_MAX])
        broadcast = await world.started(plan(selection=Selection(bot_id=BOT, chats=some)))

        await world.run_until_idle(dead=some)

        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.DEAD: len(some)}

    async def test_a_chat_that_must_wait_does_not_stop_the_files_of_the_others(self, world: BroadcastWorld) -> None:
        world.knows_files = False
        await world.started()
        under_way = []
        for _ in range(feeder.UPLOADS_MAX + 2):
            await world.feeder.step()
            await world.feeder.step()
            under_way.append(len((await world.broker.lease(worker_id="slow", slots=50)).leases))
            world.clock.advance(feeder.AHEAD_MS)
        assert under_way == [1] * feeder.UPLOADS_MAX + [0, 0]
        world.knows_files = True

        await world.feeder.step()

        assert await world.send_all() >= len(CHATS) // 2

    async def test_where_one_chat_waits_those_that_are_refused_delay_no_others(self, world: BroadcastWorld) -> None:
        world.knows_files = False
        await world.started()
        await world.feeder.step()
        await world.broker.lease(worker_id="slow", slots=1)
        await world.feeder.step()
        world.clock.advance(feeder.AHEAD_MS)

        tried = 0
        for _ in range(6):
            await world.feeder.step()
            tried += await world.send_all(dead=CHATS)

        assert tried == 6

    async def test_a_broadcast_goes_on_if_telegram_forgets_its_file_midway(self, world: BroadcastWorld) -> None:
        broadcast = await world.started()
        await world.feeder.step()
        await world.send_all(at_most=20)
        world.knows_files = False

        for _ in range(3):
            await world.feeder.step()
            await world.send_all(at_most=20)

        assert (await world.board.get(broadcast.id)).state is BroadcastState.RUNNING
        world.knows_files = True
        await world.run_until_idle()
        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.SENT: len(CHATS)}

    async def test_a_broadcast_whose_files_are_no_longer_stored_is_paused(self, world: BroadcastWorld) -> None:
        world.knows_files = None
        broadcast = await world.started()

        await world.run_until_idle()

        paused = await world.board.get(broadcast.id)
        assert (paused.state, paused.problem, world.sent.total()) == (BroadcastState.PAUSED, feeder.NO_FILES, 0)

    async def test_what_was_paid_for_is_counted_by_bot_and_time_and_kept(self, world: BroadcastWorld) -> None:
        world = BroadcastWorld(world.database, limits=replace(world.limits, purse=Limit(1_000, DAY_MS)))
        content = Content(method="sendMessage", params={"text": "hello", "allow_paid_broadcast": True})
        broadcast = await world.started(plan(content=content))
        for messages in (7, 5):
            await world.feeder.step()
            await world.send_all(at_most=messages)
            world.clock.advance(1_000)
        now_ms = world.clock()

        places = [
            await world.store.paid_places(bot_id, since_ms=since_ms, until_ms=now_ms)
            for bot_id, since_ms in ((BOT, 0), (BOT, now_ms - 1_000), (BOT, now_ms), (BOT + 1, 0))
        ]
        assert places == [12, 5, 0, 0]
        stars = Stars(purse_places=12, nanostars_billed=None, asked_at_ms=now_ms)
        await world.store.note_stars(broadcast.id, stars, over=None)
        assert (await world.board.get(broadcast.id)).stars == stars

    async def test_at_most_some_messages_are_under_way(
        self, world: BroadcastWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feeder, "QUEUED_MAX", 250)
        broadcast = await world.started()

        for _ in range(3):
            await world.feeder.step()

        assert (await world.store.under_way([broadcast]))[broadcast.id] == 250
        assert (await world.broker.stats()).bots[BOT] == 250

    async def test_no_more_is_queued_than_leaves_in_some_seconds(self, database: Database) -> None:
        world = BroadcastWorld(database, limits=Limits(bot=Limit(10, 1_000), ceiling=Limit(0, 1_000)))
        await world.add_chats(CHATS)
        broadcast = await world.started()

        await world.feeder.step()

        assert (await world.store.under_way([broadcast]))[broadcast.id] == 10 * feeder.QUEUED_S

    async def test_a_process_that_dies_between_submission_and_note_submits_none_twice(
        self, world: BroadcastWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.started()
        with monkeypatch.context() as patch:
            patch.setattr(world.store, "note", _die)
            with pytest.raises(_KilledError):
                await world.feeder.step()
        await world.send_all()
        assert len(world.sent) == feeder.PORTION

        world.process()
        await world.run_until_idle()

        assert world.sent == dict.fromkeys(CHATS, 1)

    async def test_two_processes_that_feed_at_once_send_to_each_chat_once(self, database: Database) -> None:
        world, other = BroadcastWorld(database), BroadcastWorld(database)
        other.broker = world.broker
        other.process()
        await world.add_chats(CHATS)
        broadcast = await world.started()
        seen = await world.store.get(broadcast.id)
        assert seen is not None

        await world.feeder.step()
        await other.feeder._gather(seen)  # with what it has read before
        await other.feeder.step()
        await world.run_until_idle()

        assert world.sent == dict.fromkeys(CHATS, 1)
        assert (await world.board.get(broadcast.id)).recipients == len(CHATS)

    async def test_a_pause_takes_back_what_waits_and_each_gets_it_once_after_it(self, world: BroadcastWorld) -> None:
        broadcast = await world.started()
        await world.feeder.step()
        await world.send_all(at_most=100)

        await world.board.pause(broadcast.id)
        assert await world.send_all() == 0
        while await world.feeder.step():
            pass
        progress = await world.board.progress(await world.board.get(broadcast.id))
        assert (progress.waiting, progress.under_way) == (len(CHATS) - 100, 0)
        assert world.sent.total() == 100

        await world.board.resume(broadcast.id)
        await world.run_until_idle()
        assert world.sent == dict.fromkeys(CHATS, 1)

    async def test_a_pause_during_which_it_is_resumed_takes_nothing_back(
        self, world: BroadcastWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broadcast = await world.started()
        await world.feeder.step()
        change = world.store.change

        async def resumed_at_once(*given: Any, **named: Any) -> bool:
            changed = await change(*given, **named)
            await change(broadcast.id, BroadcastState.RUNNING, when=(BroadcastState.PAUSED,), now_ms=world.clock())
            return changed

        monkeypatch.setattr(world.store, "change", resumed_at_once)
        paused = await world.board.pause(broadcast.id)

        assert paused.state is BroadcastState.RUNNING
        assert await world.send_all() == len(CHATS)

    async def test_progress_is_shown_of_one_whose_content_is_refused_by_now(self, world: BroadcastWorld) -> None:
        broadcast, other = await world.started(), await world.started()
        await world.feeder.step()
        compose = world.compose

        def refuse(of: Broadcast, addressee: Addressee, params: Mapping[str, object]) -> Outgoing:
            return compose(of, addressee, params if of.id == other.id else {"text": REFUSED_TEXT})

        world.compose = refuse  # type: ignore[method-assign, assignment]
        world.process()
        progress = await world.board.progress_of([await world.board.get(each.id) for each in (broadcast, other)])

        assert [each.ends_at_ms is None for each in progress] == [True, False]

    async def test_a_message_deleted_before_it_was_settled_is_uncertain_and_not_sent_again(
        self, world: BroadcastWorld
    ) -> None:
        broadcast = await world.started()
        await world.feeder.step()
        await world.send_all(dead=(3,))
        keep = RetentionPeriods(messages_ms=1_000, dead_ms=1_000, texts_ms=0)
        world.clock.advance(2_000)
        await Retention(world.database, keep=keep, clock=world.clock, sleep=_at_once).purge()

        await world.run_until_idle()
        await world.board.retry(broadcast.id)
        await world.run_until_idle()

        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.UNCERTAIN: len(CHATS)}
        assert world.sent.total() == len(CHATS) - 1

    async def test_a_dead_letter_that_was_tried_again_is_cancelled_and_its_key_is_kept(
        self, world: BroadcastWorld
    ) -> None:
        broadcast = await world.started()
        await world.run_until_idle(dead=(3,))
        history = MessageHistory(world.database)
        (letter,) = await history.dead(after_id="", limit=9)

        await world.board.retry(broadcast.id)
        await world.run_until_idle()

        kept = await history.message(letter.id)
        assert kept is not None
        assert (kept.status, kept.reason, kept.dedup_key) == (
            Status.CANCELLED,
            "its broadcast tried again",
            letter.dedup_key,
        )

    async def test_a_process_that_was_frozen_after_it_read_a_portion_submits_none_of_it(
        self, world: BroadcastWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.started()
        due = world.store.due

        async def frozen(*given: Any, **named: Any) -> list[Addressee]:
            found = await due(*given, **named)
            world.clock.advance(feeder.FRESH_MS + 1)
            return found

        monkeypatch.setattr(world.store, "due", frozen)
        await world.feeder.step()

        assert await world.send_all() == 0

    async def test_a_pause_that_is_resumed_at_once_loses_none(self, world: BroadcastWorld) -> None:
        broadcast = await world.started()
        await world.feeder.step()

        await world.board.pause(broadcast.id)
        await world.board.resume(broadcast.id)
        await world.run_until_idle()

        assert world.sent == dict.fromkeys(CHATS, 1)
        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.SENT: len(CHATS)}

    async def test_nothing_of_a_cancelled_broadcast_is_sent(self, world: BroadcastWorld) -> None:
        broadcast = await world.started()
        await world.feeder.step()
        await world.send_all(at_most=50)

        cancelled = await world.board.cancel(broadcast.id)

        await world.run_until_idle()
        assert (cancelled.state, world.sent.total()) == (BroadcastState.CANCELLED, 50)
        ended = await world.board.get(broadcast.id)
        assert (ended.outcomes, ended.is_active) == ({Outcome.SENT: 50, Outcome.CANCELLED: len(CHATS) - 50}, False)

    async def test_a_broadcast_ends_with_its_bot(self, world: BroadcastWorld) -> None:
        broadcast = await world.started()
        await world.feeder.step()

        world.bots.clear()
        await world.run_until_idle()

        assert (await world.board.get(broadcast.id)).state is BroadcastState.CANCELLED
        assert await world.store.active() == []

    async def test_one_that_cannot_go_on_holds_up_no_other(
        self, world: BroadcastWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stuck, other = await world.started(), await world.started()
        page = world.audience.page

        async def refuse(selection: Selection, rules: Rules, **given: Any) -> list[Recipient]:
            if rules.campaign == stuck.tag:
                raise LedgerError("too many time zones")
            return await page(selection, rules, **given)

        monkeypatch.setattr(world.audience, "page", refuse)
        with pytest.raises(LedgerError):
            await world.feeder.step()

        assert (await world.store.under_way([other]))[other.id] == len(CHATS)

    async def test_one_after_more_than_a_step_takes_has_its_turn(
        self, world: BroadcastWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feeder, "ACTIVE_MAX", 2)
        minute = (world.clock() // 60_000 + 60) % 1_440
        later = plan(selection=Selection(bot_id=BOT, chats=(1,)), at_minute=minute, default_zone="UTC")
        for _ in range(4):
            await world.started(later)
        last = await world.started(plan(selection=Selection(bot_id=BOT, chats=(2,))))

        for _ in range(6):
            await world.feeder.step()
        await world.send_all()
        await world.feeder.step()

        assert world.sent == {2: 1}
        assert (await world.board.get(last.id)).recipients == 1
        assert world.feeder.counts()["running"] >= 2

    async def test_a_portion_submitted_while_it_was_cancelled_is_taken_back(
        self, world: BroadcastWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broadcast = await world.started()
        note = world.store.note

        async def cancel_first(*given: object) -> None:
            await world.store.change(
                broadcast.id, BroadcastState.CANCELLED, when=(BroadcastState.RUNNING,), now_ms=world.clock()
            )
            await note(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(world.store, "note", cancel_first)
        await world.feeder.step()

        assert await world.send_all() == 0

    async def test_those_that_failed_are_tried_again_without_their_dead_letters(self, world: BroadcastWorld) -> None:
        broadcast = await world.started()
        await world.run_until_idle(dead=(3, 4))
        assert (await world.board.get(broadcast.id)).outcomes[Outcome.DEAD] == 2

        await world.board.retry(broadcast.id)
        await world.run_until_idle()

        assert world.sent == dict.fromkeys(CHATS, 1)
        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.SENT: len(CHATS)}

    async def test_only_what_is_done_can_be_retried(self, world: BroadcastWorld) -> None:
        broadcast = await world.started()

        with pytest.raises(BroadcastConflict, match="is running; what failed is retried once it is done"):
            await world.board.retry(broadcast.id)

    async def test_chats_that_opt_out_meanwhile_or_cannot_be_reached_get_none(self, world: BroadcastWorld) -> None:
        await world.add_chats([900], opted_out_at_ms=None)
        of = plan(selection=Selection(bot_id=BOT, chats=(1, 2, 900)))
        broadcast = await world.started(of)
        await world.reachability.mark_unreachable(BOT, 2, "Forbidden: bot was blocked by the user")
        await world.feeder._gather(await world.board.get(broadcast.id))
        await _opt_out(world, 900)

        await world.run_until_idle()

        assert (await world.board.get(broadcast.id)).outcomes == {
            Outcome.SENT: 1,
            Outcome.UNREACHABLE: 1,
            Outcome.OPTED_OUT: 1,
        }

    async def test_a_message_that_telegram_would_refuse_for_one_chat_is_counted(self, world: BroadcastWorld) -> None:
        await world.add_chats([901], title=REFUSED_TEXT)
        of = plan(
            selection=Selection(bot_id=BOT, chats=(1, 901)), content=Content(method="m", params={"text": "{title|x}"})
        )
        broadcast = await world.started(of)

        await world.run_until_idle()

        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.SENT: 1, Outcome.REFUSED: 1}

    async def test_fields_are_those_of_each_chat(self, world: BroadcastWorld) -> None:
        await world.add_chats([902], title="Anna")
        await world.started(plan(selection=Selection(bot_id=BOT, chats=(1, 902))))

        await world.run_until_idle()

        assert world.texts == {1: "Hello friend", 902: "Hello Anna"}

    async def test_a_spread_sends_each_at_its_share_of_the_time(self, world: BroadcastWorld) -> None:
        hour_ms = 3_600_000
        broadcast = await world.started(plan(spread_ms=10 * hour_ms))
        counts = []
        for _ in range(10):
            world.clock.advance(hour_ms)
            await world.run_until_idle()
            counts.append(world.sent.total())

        steps = [after - before for before, after in zip([0, *counts], counts, strict=False)]
        assert (counts[-1], (await world.board.get(broadcast.id)).state) == (len(CHATS), BroadcastState.DONE)
        assert min(steps) > 25

    async def test_each_zone_gets_it_at_its_own_time_of_day(self, world: BroadcastWorld) -> None:
        await world.add_chats([903], time_zone="Asia/Tokyo")
        await world.add_chats([904], time_zone="America/New_York")
        selection = Selection(bot_id=BOT, chats=(903, 904))
        started_ms = world.clock()
        await world.started(plan(selection=selection, at_minute=600))
        arrived: dict[ChatId, int] = {}
        for quarter in range(4 * 25):
            await world.run_until_idle()
            arrived |= {chat: quarter for chat in world.sent if chat not in arrived}
            world.clock.advance(900_000)

        (tokyo, new_york) = (arrived[903], arrived[904])
        assert (new_york - tokyo) % 96 == 14 * 4
        assert (started_ms // 900_000 + tokyo) % 96 in {4, 5}  # 10:00 there is 01:00 UTC

    async def test_a_broadcast_resumed_or_retried_in_quiet_hours_is_held_until_they_end(
        self, world: BroadcastWorld
    ) -> None:
        minute = world.clock() // 60_000 % 1_440
        later = minute + 60, minute + 120
        quiet = QuietHours(from_minute=later[0] % 1_440, until_minute=later[1] % 1_440)
        await world.add_chats([905], time_zone="UTC", quiet_from=quiet.from_minute, quiet_until=quiet.until_minute)
        selection = Selection(bot_id=BOT, chats=(1, 2, 905))
        broadcast = await world.started(plan(selection=selection, quiet_hours=quiet, default_zone="UTC"))
        await world.feeder.step()
        await world.send_all(at_most=1, dead=CHATS)
        await world.board.pause(broadcast.id)
        world.clock.advance(90 * 60_000)

        await world.board.resume(broadcast.id)
        await world.run_until_idle()
        assert world.sent.total() <= 1
        world.clock.advance(30 * 60_000)
        await world.run_until_idle()

        assert len(world.sent) >= 2
        assert (await world.board.get(broadcast.id)).state is BroadcastState.DONE

    async def test_a_daily_cap_counts_the_messages_of_all_campaigns(self, world: BroadcastWorld) -> None:
        of = plan(selection=Selection(bot_id=BOT, chats=(1, 2, 3)), daily_cap=1)
        day = local_day(of.default_zone, world.clock())
        written_to = Recipient(
            chat_id=2, zone=day.zone, local_date=str(day.date), not_before_ms=None, day_ends_ms=day.ends_ms
        )
        await world.audience.claim([written_to], Rules(campaign="other"), bot_id=BOT, now_ms=world.clock())

        first, second = await world.started(of), await world.started(of)
        await world.run_until_idle()
        world.clock.advance(86_400_000)
        third = await world.started(of)
        await world.run_until_idle()

        outcomes = [(await world.board.get(each.id)).outcomes for each in (first, second, third)]
        assert outcomes == [
            {Outcome.SENT: 2, Outcome.DAILY_CAP: 1},
            {Outcome.DAILY_CAP: 3},
            {Outcome.SENT: 3},
        ]

    async def test_a_pause_a_retry_or_a_death_on_the_same_date_spends_a_daily_cap_once(
        self, world: BroadcastWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broadcast = await world.started(plan(selection=Selection(bot_id=BOT, chats=(1, 2, 3)), daily_cap=1))
        with monkeypatch.context() as patch:
            patch.setattr(world.dispatcher, "submit", _die)
            with pytest.raises(_KilledError):
                await world.feeder.step()
        world.process()
        await world.feeder.step()
        await world.board.pause(broadcast.id)
        await world.board.resume(broadcast.id)
        await world.run_until_idle(dead=(3,))
        await world.board.retry(broadcast.id)
        await world.run_until_idle()

        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.SENT: 3}

    async def test_a_chat_in_its_own_quiet_hours_does_not_get_it_in_a_spread(self, world: BroadcastWorld) -> None:
        minute = world.clock() // 60_000 % 1_440
        hours = {"quiet_from": (minute + 1) % 1_440, "quiet_until": (minute + 601) % 1_440}
        await world.add_chats([906], time_zone="UTC", **hours)
        await world.started(plan(selection=Selection(bot_id=BOT, chats=(906,)), spread_ms=5 * 3_600_000))

        for _ in range(19):
            world.clock.advance(30 * 60_000)
            await world.run_until_idle()
        assert not world.sent
        world.clock.advance(61 * 60_000)
        await world.run_until_idle()

        assert world.sent == {906: 1}

    async def test_a_chat_outside_its_own_quiet_hours_gets_it_in_those_of_the_plan(self, world: BroadcastWorld) -> None:
        minute = world.clock() // 60_000 % 1_440
        night = QuietHours(from_minute=(minute - 5) % 1_440, until_minute=(minute + 595) % 1_440)
        hours = {"quiet_from": (minute + 300) % 1_440, "quiet_until": (minute + 400) % 1_440}
        await world.add_chats([907], time_zone="UTC", **hours)
        await world.started(plan(selection=Selection(bot_id=BOT, chats=(907,)), quiet_hours=night, default_zone="UTC"))

        await world.run_until_idle()

        assert world.sent == {907: 1}

    async def test_a_chat_that_opts_out_while_its_message_waits_has_opted_out(self, world: BroadcastWorld) -> None:
        broadcast = await world.started(plan(selection=Selection(bot_id=BOT, chats=(1, 2))))
        await world.feeder.step()

        async def waiting() -> AsyncIterator[list[str]]:
            yield [each.id for each in await world.ledger.open_of_chat(BOT, 1, after_id="", limit=9)]

        await world.closer.withdraw(waiting(), End(Status.CANCELLED, Fault(code=None, reason=OPTED_OUT)))
        await world.run_until_idle()

        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.SENT: 1, Outcome.OPTED_OUT: 1}

    @pytest.mark.parametrize("gathered", [(-5,), (-5, -1005)])
    async def test_a_group_that_becomes_a_supergroup_meanwhile_gets_it_once_under_its_new_id(
        self, world: BroadcastWorld, gathered: tuple[int, ...]
    ) -> None:
        await world.add_chats([-5], title="Old")
        await world.add_chats([-1005], title="New", opted_out_at_ms=None)
        broadcast = await world.started(plan(selection=Selection(bot_id=BOT, chats=gathered)))
        await world.feeder._gather(await world.board.get(broadcast.id))
        await _move(world, -5, -1005)

        await world.run_until_idle()

        done = await world.board.get(broadcast.id)
        assert (world.sent, world.texts) == ({-1005: 1}, {-1005: "Hello New"})
        assert (done.state, done.recipients, done.outcomes) == (BroadcastState.DONE, 1, {Outcome.SENT: 1})

    async def test_a_group_that_got_it_before_it_became_a_supergroup_does_not_get_it_again(
        self, world: BroadcastWorld
    ) -> None:
        await world.add_chats([-5, -1005])
        broadcast = await world.started(plan(selection=Selection(bot_id=BOT, chats=(-5, -1005))))
        gathered = await world.feeder._gather(await world.board.get(broadcast.id))
        (first,) = [
            each for each in await world.store.due(gathered, now_ms=world.clock(), limit=9) if each.chat_id == -5
        ]
        await world.feeder._submit(gathered, [first])
        await world.send_all()

        await _move(world, -5, -1005)
        await world.run_until_idle()

        assert world.sent == {-5: 1}
        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.SENT: 1}

    async def test_a_group_that_opted_out_as_a_supergroup_gets_none(self, world: BroadcastWorld) -> None:
        await world.add_chats([-5])
        broadcast = await world.started(plan(selection=Selection(bot_id=BOT, chats=(-5,))))
        await world.feeder._gather(await world.board.get(broadcast.id))
        await _move(world, -5, -1005)
        await _opt_out(world, -1005)

        await world.run_until_idle()

        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.OPTED_OUT: 1}

    async def test_the_rows_of_recipients_are_deleted_30_days_after_the_end(self, world: BroadcastWorld) -> None:
        broadcast = await world.started()
        await world.run_until_idle()
        keep = RetentionPeriods(messages_ms=None, dead_ms=None, texts_ms=0)

        world.clock.advance(BROADCASTS_MS)
        kept = await Retention(world.database, keep=keep, clock=world.clock, sleep=_at_once).purge()
        world.clock.advance(1)
        gone = await Retention(world.database, keep=keep, clock=world.clock, sleep=_at_once).purge()

        assert (kept["broadcast_recipients"], gone["broadcast_recipients"]) == (0, len(CHATS))
        assert (await world.board.get(broadcast.id)).outcomes == {Outcome.SENT: len(CHATS)}

    async def test_those_that_run_are_counted_together(self, world: BroadcastWorld) -> None:
        assert await world.board.totals() == Totals(running=0)
        await world.started(plan(selection=Selection(bot_id=BOT, chats=(1, 2, 3))))
        later = await world.started(plan(selection=Selection(bot_id=BOT, chats=(4, 5)), spread_ms=3_600_000))
        await world.board.create("a draft", plan())
        await world.feeder.step()
        await world.send_all(at_most=1)
        await world.feeder.step()

        totals = await world.board.totals()

        assert (totals.running, totals.waiting, totals.outcomes) == (2, 4, {Outcome.SENT: 1})
        first = min(each.due_at_ms for each in await _rows(world, later))
        assert totals.next_due_ms == first

    async def test_several_are_listed_newest_first(self, world: BroadcastWorld) -> None:
        ids = [(await world.board.create(name, plan())).id for name in "abc"]

        page = await world.board.page(before_id=None, limit=2)

        assert [each.id for each in page] == [ids[2], ids[1]]
        assert [each.id for each in await world.board.page(before_id=ids[1], limit=2)] == [ids[0]]


class TestBroadcastsOnSqlite(OnSqlite, BroadcastsContract):
    pass


class TestBroadcastsOnPostgres(OnPostgres, BroadcastsContract):
    pass


class _KilledError(BaseException):
    """No handler of errors sees it, as none sees a kill."""


async def _at_once(_seconds: float) -> None:
    pass


async def _die(*_: object) -> None:
    raise _KilledError


async def _rows(world: BroadcastWorld, of: Broadcast) -> list[Any]:
    query = select(broadcast_recipients).where(broadcast_recipients.c.broadcast_id == of.id)
    async with world.database.reading() as connection:
        return list((await connection.execute(query)).all())


async def _move(world: BroadcastWorld, old: int, new: int) -> None:
    await world.database.write_alone(lambda connection: chat_writes.move(connection, BOT, old, new, world.clock()))


async def _opt_out(world: BroadcastWorld, chat_id: int) -> None:
    changed = update(chats).where(chats.c.chat_id == str(chat_id)).values(opted_out_at_ms=1)
    await world.database.write_alone(lambda connection: connection.execute(changed) and None)
