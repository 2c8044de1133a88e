from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.api.core.ports import Refusal
from tempogram.bot.behaviours.reengagement.dry_run import ReengagementDryRuns
from tempogram.engine.model.selection import Reason
from tests.bot.behaviours.reengagement.test_task import FOUR_PM_MS, HOUR_MS, Fleet, bot, fleet, quiet
from tests.fakes import Clock


def dry_runs(of: Fleet, *, has_model: bool = False, at_ms: int = FOUR_PM_MS) -> ReengagementDryRuns:
    return ReengagementDryRuns(of.audience, has_model=has_model, clock=Clock(at_ms))


async def test_it_says_who_would_get_what_and_who_not_and_why() -> None:
    seen = fleet(quiet(1), quiet(2, is_opted_out=True), quiet(3, last_out_ms=FOUR_PM_MS))

    found = await dry_runs(seen).of(bot(1), at_ms=None, after="", limit=10)

    assert [(each.recipient.chat_id, each.text) for each in found.messages] == [(1, "Hello Anna1!")]
    assert found.preview.left_out == {Reason.OPTED_OUT: 1, Reason.WRITTEN_TODAY: 1}
    assert seen.audience.claims == {}


async def test_what_it_lists_is_what_then_happens() -> None:
    written = fleet(*(quiet(number, zone=zone) for number, zone in enumerate((None, "UTC", "Europe/Berlin"), start=1)))
    planned = await dry_runs(written).of(bot(1), at_ms=FOUR_PM_MS, after="", limit=10)

    await written.new_process().run()

    assert written.texts() == [each.text for each in planned.messages] == ["Hello Anna1!", "Hello Anna2!"]
    assert len(written.accepted) == planned.preview.selected


async def test_without_a_time_those_are_listed_whose_day_it_is_at_any_hour() -> None:
    seen = dry_runs(fleet(quiet(1)), at_ms=FOUR_PM_MS - 5 * HOUR_MS)

    today = await seen.of(bot(1), at_ms=None, after="", limit=10)
    then = await seen.of(bot(1), at_ms=FOUR_PM_MS - 5 * HOUR_MS, after="", limit=10)

    assert (today.preview.selected, then.preview.selected) == (1, 0)


async def test_a_text_that_a_model_writes_is_not_known_before() -> None:
    (planned,) = (await dry_runs(fleet(quiet(1)), has_model=True).of(bot(1), at_ms=None, after="", limit=1)).messages

    assert planned.text is None


async def test_a_bot_without_the_behaviour_is_refused_with_the_way_out() -> None:
    other = replace(bot(5), behaviours={"echo": {}})

    with pytest.raises(Refusal, match="PATCH /bots/5 adds it"):
        await dry_runs(fleet()).of(other, at_ms=None, after="", limit=1)
