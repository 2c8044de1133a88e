from __future__ import annotations

from typing import Any

import pytest

from tempogram.api.core.ports import Refusal
from tempogram.bot.behaviours.reengagement.settings import ReengagementSettings, check, parse
from tempogram.engine.model.messages import Guarantee
from tempogram.engine.model.selection import QuietHours, Rules, Selection

CHOSEN = {
    "after_days": 14,
    "at": "09:30",
    "zone": "Asia/Kathmandu",
    "templates": ["Namaste {first_name}!"],
    "system": "Be brief.",
    "quiet_hours": {"from": "22:00", "until": "08:00"},
    "daily_cap": 1,
    "delivery": "at_least_once",
}


def test_without_settings_the_missions_hold() -> None:
    settings = parse({})

    assert (settings.after_days, settings.at_minute, settings.zone) == (7, 16 * 60, "America/Los_Angeles")
    assert settings.delivery is Guarantee.AT_MOST_ONCE


def test_each_setting_is_read() -> None:
    assert parse(CHOSEN) == ReengagementSettings(
        after_days=14,
        at_minute=9 * 60 + 30,
        zone="Asia/Kathmandu",
        templates=("Namaste {first_name}!",),
        system="Be brief.",
        quiet_hours=QuietHours(from_minute=22 * 60, until_minute=8 * 60),
        daily_cap=1,
        delivery=Guarantee.AT_LEAST_ONCE,
    )


def test_a_bot_means_those_who_wrote_on_the_day_and_to_whom_it_has_not_written_today() -> None:
    settings = parse(CHOSEN)

    assert settings.selection(42) == Selection(bot_id=42, wrote_days_ago=14)
    assert settings.rules() == Rules(
        campaign="reengagement",
        default_zone="Asia/Kathmandu",
        at_minute=570,
        quiet_hours=settings.quiet_hours,
        daily_cap=1,
        not_if_written_today=True,
    )
    assert settings.rules(at_any_time=True).at_minute is None


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"days": 7}, "'days' is not a setting of reengagement; choose from after_days, at, zone"),
        ({"after_days": 0}, "after_days of reengagement is 0; it must be a whole number from 1 to 365"),
        ({"after_days": True}, "after_days of reengagement is True"),
        ({"at": "4 pm"}, "at of reengagement is '4 pm'; write a time of day as in \"16:00\""),
        ({"at": 16}, "at of reengagement is 16"),
        ({"at": "23:01"}, "at of reengagement is '23:01'; it should not be after 23:00"),
        ({"zone": "Mars/Base"}, "zone of reengagement is 'Mars/Base', which is no time zone"),
        ({"zone": None}, "zone of reengagement is None, which is no time zone"),
        ({"templates": []}, "templates of reengagement must be a list of 1 to 100 texts"),
        ({"templates": ["hello", " "]}, "a template of reengagement is ' '"),
        ({"templates": ["a" * 4_097]}, "must be a text of 1 to 4,096 characters"),
        ({"system": 1}, "system of reengagement must be a text of at most 8,000 characters"),
        ({"quiet_hours": "22-8"}, "quiet_hours of reengagement must be as in"),
        ({"quiet_hours": {"from": "25:00", "until": "08:00"}}, "from in quiet_hours of reengagement is '25:00'"),
        ({"quiet_hours": {"from": "08:00", "until": "08:00"}}, "quiet_hours of reengagement begin when they end"),
        ({"daily_cap": 0}, "daily_cap of reengagement is 0; it must be a whole number from 1 to 100"),
        ({"delivery": "often"}, "delivery of reengagement is 'often'; choose from at_least_once, at_most_once"),
        ({"delivery": []}, "delivery of reengagement is \\[\\]"),
    ],
)
def test_a_wrong_setting_is_refused_by_one_sentence_with_the_way_out(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence) as refused:
        check(config)

    assert "\n" not in str(refused.value)
