"""What every store of alerts promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tempogram.engine.ports.alert_store import AlertStore, Event, Finding, Mark
from tests.engine.alerts.values import alert, notice, row
from tests.fakes import START_MS


class AlertStoreContract:
    async def test_an_alert_is_open_until_it_has_ended(self, store: AlertStore) -> None:
        await store.open([alert("a"), alert("b")])
        await store.end(["a"], START_MS + 5)

        assert [each.id for each in await store.unfinished()] == ["b"]

    async def test_an_alert_of_which_one_is_open_is_not_opened_again_until_that_has_ended(
        self, store: AlertStore
    ) -> None:
        await store.open([alert("a", key="poll")])
        await store.open([alert("b", key="poll"), alert("c", key="poll", kind="task_failing")])
        before = [each.id for each in await store.unfinished()]
        await store.end(["a"], START_MS)
        await store.open([alert("d", key="poll")])

        assert before == ["a", "c"]
        assert [each.id for each in await store.unfinished()] == ["c", "d"]

    async def test_an_alert_ends_once(self, store: AlertStore) -> None:
        await store.open([alert("a", said_at_ms=START_MS)])
        await store.end(["a"], START_MS + 5)
        await store.end(["a"], START_MS + 9)

        (ended,) = await store.unfinished()
        assert ended.ended_at_ms == START_MS + 5

    async def test_an_alert_whose_end_was_not_said_is_unfinished(self, store: AlertStore) -> None:
        await store.open([alert("a"), alert("b")])
        opened = await store.unfinished()
        assert await store.say(Mark.SAID, opened[:1], START_MS, [])
        await store.end(["a", "b"], START_MS + 5)

        ended = await store.unfinished()
        assert [each.id for each in ended] == ["a"]
        assert await store.say(Mark.END_SAID, ended, START_MS + 6, [])
        assert await store.unfinished() == []

    async def test_an_alert_is_said_once_whatever_processes_do(self, store: AlertStore) -> None:
        await store.open([alert("a"), alert("b")])
        opened = await store.unfinished()
        said = await asyncio.gather(
            store.say(Mark.SAID, opened, START_MS, [row("1")]),
            store.say(Mark.SAID, opened, START_MS, [row("2")]),
            store.say(Mark.SAID, opened[:1], START_MS, [row("3")]),
        )

        assert sum(said[:2]) + said[2] in {1, 2}  # the third alone, or one of the first two
        waiting = await store.waiting(["slack"], START_MS, limit=9)
        assert len(waiting) == sum(said)
        assert not (said[2] and any(said[:2]))

    async def test_a_reminder_is_written_once_for_each_time(self, store: AlertStore) -> None:
        await store.open([alert("a", said_at_ms=START_MS)])
        (read,) = await store.unfinished()

        assert await store.say(Mark.REMINDED, [read], START_MS + 5, [row("1")])
        assert not await store.say(Mark.REMINDED, [read], START_MS + 6, [row("2")])
        (again,) = await store.unfinished()
        assert await store.say(Mark.REMINDED, [again], START_MS + 9, [row("3")])

    async def test_notices_wait_for_their_channel_in_their_order(self, store: AlertStore) -> None:
        written = [row("2"), row("1"), row("1", "email"), row("3", "webhook")]
        await store.say(Mark.SAID, [], START_MS, written)

        waiting = await store.waiting(["slack", "email"], START_MS, limit=9)
        first = await store.waiting(["slack"], START_MS, limit=1)

        assert [(each.channel, each.notice.id) for each in waiting] == [("email", "1"), ("slack", "1"), ("slack", "2")]
        assert [each.notice.id for each in first] == ["1"]

    async def test_a_notice_comes_back_as_it_was_written(self, store: AlertStore) -> None:
        said = notice(
            "1", event=Event.ENDED, kind="dead_letters", lines=("Ünß „a“", "… and 3 more"), keys=("a", ""), alerts=5
        )
        await store.say(Mark.SAID, [], START_MS, [row("1", notice=said)])

        assert await store.waiting(["slack"], START_MS, limit=9) == [row("1", notice=said)]

    async def test_a_try_is_claimed_by_one_process(self, store: AlertStore) -> None:
        await store.say(Mark.SAID, [], START_MS, [row("1")])
        (waiting,) = await store.waiting(["slack"], START_MS, limit=9)

        claimed = await asyncio.gather(*(store.claim(waiting, START_MS + 60_000) for _ in range(5)))

        assert sum(claimed) == 1
        (again,) = await store.waiting(["slack"], START_MS, limit=9)
        assert (again.attempts, again.next_try_ms) == (1, START_MS + 60_000)

    async def test_a_try_that_another_process_has_begun_since_changes_nothing(self, store: AlertStore) -> None:
        await store.say(Mark.SAID, [], START_MS, [row("1")])
        await store.claim(row("1"), START_MS + 60_000)
        await store.claim(row("1", attempts=1), START_MS + 120_000)

        await store.put_off(row("1", attempts=1), START_MS, "late", is_set_aside=True)
        await store.finish(row("1", attempts=1), START_MS, is_accepted=False, error="late")

        (waiting,) = await store.waiting(["slack"], START_MS, limit=9)
        assert (waiting.attempts, waiting.next_try_ms) == (2, START_MS + 120_000)

    async def test_a_notice_that_was_accepted_waits_no_more_whichever_try_it_was(self, store: AlertStore) -> None:
        await store.say(Mark.SAID, [], START_MS, [row("1")])
        await store.claim(row("1"), START_MS + 60_000)
        await store.claim(row("1", attempts=1), START_MS + 120_000)

        await store.finish(row("1", attempts=1), START_MS, is_accepted=True)

        assert await store.waiting(["slack"], START_MS, limit=9) == []
        assert not await store.claim(row("1", attempts=2), START_MS)

    async def test_a_notice_that_is_set_aside_is_left_out_until_its_next_try(self, store: AlertStore) -> None:
        await store.say(Mark.SAID, [], START_MS, [row("1"), row("2")])
        await store.claim(row("1"), START_MS + 60_000)
        await store.put_off(row("1", attempts=1), START_MS + 9, "refused", is_set_aside=True)

        ids = [[each.notice.id for each in await store.waiting(["slack"], START_MS + ms, limit=9)] for ms in (8, 9)]

        assert ids == [["2"], ["1", "2"]]

    async def test_the_next_try_is_the_earliest_of_the_channels(self, store: AlertStore) -> None:
        rows = [replace(row(str(ms), channel), next_try_ms=ms) for ms, channel in ((7, "slack"), (5, "email"))]
        await store.say(Mark.SAID, [], START_MS, rows)

        found = [await store.next_try_ms(of) for of in (["slack", "email"], ["slack"], ["chat"], [])]
        assert found == [5, 7, None, None]

    async def test_what_a_process_finds_replaces_what_it_found_before(self, store: AlertStore) -> None:
        away, failing = Finding("redis_away", "", "Redis is away"), Finding("service_failing", "x:post", "x fails")
        await store.sight("a", [away, failing], START_MS)
        await store.sight("b", [away], START_MS + 5)
        await store.sight("a", [failing], START_MS + 5)
        now = await store.sighted(START_MS)
        await store.sight("a", [], START_MS + 9)

        assert now == [away, failing]
        assert await store.sighted(START_MS) == [away]
        assert await store.sighted(START_MS + 6) == []
