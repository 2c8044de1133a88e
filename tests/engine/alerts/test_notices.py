from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

from tempogram.engine.alerts.notices import LINES_MAX, TEXT_MAX, When, new_id, notice_of, text_of, to_be_said
from tempogram.engine.alerts.quiet_hours import QuietHours
from tempogram.engine.ports.alert_store import Event, Mark
from tests.engine.alerts.values import alert, notice
from tests.fakes import START_MS

MINUTE_MS = 60_000
ALWAYS_QUIET = When(quiet=QuietHours(time(0), time(23, 59, 59, 999_999), ZoneInfo("UTC")), urgent={"redis_away"})


def test_alerts_of_one_kind_are_said_together() -> None:
    opened = [alert("a"), alert("b", kind="task_failing"), alert("c")]

    said = list(to_be_said(opened, When(), START_MS))

    assert said == [(Mark.SAID, [opened[1]]), (Mark.SAID, [opened[0], opened[2]])]


def test_of_very_many_alerts_the_first_are_named_and_the_others_counted() -> None:
    said = notice_of(Mark.SAID, [alert(str(number)) for number in range(5_000)], START_MS)

    assert len(said.lines) == LINES_MAX + 1
    assert said.lines[-1] == "… and 4,980 more"
    assert (len(said.keys), said.alerts) == (LINES_MAX, 5_000)


def test_an_end_says_how_long_it_lasted() -> None:
    ended = alert("a", said_at_ms=START_MS, ended_at_ms=START_MS + 12 * MINUTE_MS)
    ((mark, alerts),) = to_be_said([ended], When(), START_MS + 12 * MINUTE_MS)

    assert text_of(notice_of(mark, alerts, START_MS + 12 * MINUTE_MS)) == (
        "Over: Task stalled\ntask a is stalled (over after 12 min)"
    )


def test_an_end_is_said_before_what_has_begun_since() -> None:
    ended = alert("a", key="poll", said_at_ms=START_MS, ended_at_ms=START_MS + 5)
    again = alert("b", key="poll", opened_at_ms=START_MS + 9)

    assert [mark for mark, _ in to_be_said([again, ended], When(), START_MS + 9)] == [Mark.END_SAID, Mark.SAID]


def test_the_end_of_what_was_never_said_is_not_said_either() -> None:
    assert list(to_be_said([alert("a", ended_at_ms=START_MS + 5)], When(), START_MS + 9)) == []


def test_in_quiet_hours_only_what_is_urgent_is_said() -> None:
    opened = [alert("a"), alert("b", kind="redis_away", key=""), alert("c", said_at_ms=1, ended_at_ms=2)]

    assert list(to_be_said(opened, ALWAYS_QUIET, START_MS)) == [(Mark.SAID, [opened[1]])]


def test_that_an_alert_lasts_is_said_at_each_interval() -> None:
    when = When(remind_ms=60 * MINUTE_MS)
    said = alert("a", said_at_ms=START_MS)
    reminded = alert("a", said_at_ms=START_MS, reminded_at_ms=START_MS + 60 * MINUTE_MS)

    def marks(of: object, minutes: int) -> list[Mark]:
        return [mark for mark, _ in to_be_said([of], when, START_MS + minutes * MINUTE_MS)]  # type: ignore[list-item]

    assert [marks(said, minutes) for minutes in (59, 60)] == [[], [Mark.REMINDED]]
    assert [marks(reminded, minutes) for minutes in (119, 120)] == [[], [Mark.REMINDED]]
    assert notice_of(Mark.REMINDED, [said], START_MS + 120 * MINUTE_MS).lines == ("task a is stalled (for 2 h)",)


def test_without_an_interval_no_reminder_is_said() -> None:
    assert list(to_be_said([alert("a", said_at_ms=1)], When(), START_MS)) == []


def test_ids_sort_in_the_order_in_which_they_were_made_also_when_the_clock_is_set_back() -> None:
    ids = [new_id(START_MS), new_id(START_MS), new_id(START_MS - 5_000), new_id(START_MS + 1)]

    assert ids == sorted(set(ids))


def test_a_text_is_no_longer_than_a_message_may_be() -> None:
    assert len(text_of(notice("1", lines=("x" * 5_000,)))) == TEXT_MAX


def test_a_kind_of_another_version_is_said_by_its_name() -> None:
    assert text_of(notice("1", kind="moon_away", event=Event.ENDED)).startswith("Over: moon_away\n")
