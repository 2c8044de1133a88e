from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from tempogram.bot.commands.client import CallFailed, NotNow
from tempogram.bot.commands.services.tables import all_services, one_service, waiting_calls
from tempogram.bot.commands.services.watch import watch, watch_as_json

LIMIT = {"count": 1, "window_ms": 1_000, "burst": None, "apart_ms": 0, "concurrency": 0}
HOLD = "until 14:32:10, said by the service"


def screen(*, is_terminal: bool, width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=width, height=40, color_system=None)


def text(console: Console) -> str:
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def after(*looks: str | Exception) -> Any:
    """Return a way to look that ends with Ctrl-C."""
    left: Iterator[str | Exception] = iter(looks)

    def look() -> str:
        match next(left, None):
            case None:
                raise KeyboardInterrupt
            case Exception() as error:
                raise error
            case shown:
                return shown

    return look


def test_what_is_watched_is_drawn_anew_until_it_is_interrupted() -> None:
    console, pauses = screen(is_terminal=True), list[float]()

    watch(after("first", "second", "third"), console, every_s=0.5, sleep=pauses.append)

    assert [word for word in ("first", "second", "third") if word in text(console)] == ["first", "second", "third"]
    assert pauses == [0.5] * 3


def test_while_there_is_no_answer_the_last_one_stays_and_says_so() -> None:
    console = screen(is_terminal=True)

    watch(after("table", NotNow("nothing answers at http://x"), "again"), console, every_s=1, sleep=lambda _: None)

    shown = text(console)
    assert "nothing answers at http://x" in shown
    assert shown.count("table") >= 2
    assert "again" in shown


def test_a_refusal_ends_it() -> None:
    with pytest.raises(CallFailed, match="this token"):
        watch(after("table", CallFailed("this token")), screen(is_terminal=True), every_s=1, sleep=lambda _: None)


def test_not_on_a_terminal_it_is_printed_once() -> None:
    console = screen(is_terminal=False)

    watch(after("table", "never"), console, every_s=1)

    assert text(console) == "table\n"


def test_as_json_each_look_is_a_line_and_an_answer_that_is_missing_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = NotNow("nothing answers at http://x")
    pauses = list[float]()

    watch_as_json(after("first", away, away, "second"), every_s=0.5, sleep=pauses.append)

    printed = capsys.readouterr()
    assert printed.out == '"first"\n"second"\n'
    assert printed.err == "nothing answers at http://x\n"
    assert pauses == [0.5] * 4


def test_a_hold_that_the_service_asked_for_takes_one_line_of_100_columns() -> None:
    console = screen(is_terminal=False, width=100)
    operation = {
        "count": 1, "window_ms": 1_000, "left": 0, "tokens_left": 100_000, "under_way": 3, "waiting": 12,
        "hold": HOLD, "breaker": "half_open",
    }  # fmt: skip
    service = {"name": "quickbase", "under_way": 3, "concurrency": 10, "waiting": 0, "hold": None}

    console.print(all_services({"services": [service | {"operations": {"reengagement": operation}}]}))

    assert "14:32:10, said by the service" in text(console)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_tables_fit_a_terminal_and_hide_nothing(width: int) -> None:
    operation = {
        "count": 1, "window_ms": 1_000, "left": 0, "tokens_left": 98_000, "under_way": 3, "waiting": 12,
        "hold": HOLD, "breaker": "half_open",
    }  # fmt: skip
    service = {"name": "twilio", "under_way": 3, "concurrency": 10, "waiting": 0, "hold": None}
    limiter = {"name": "twilio:taskrouter", "limit": LIMIT, "left": 0, "under_way": 3, "waiting": 12, "hold": HOLD}
    breaker = {"state": "open", "open_until": "2026-12-01T14:32:10+00:00", "opened_by_hand": False}
    shown = {"limiter": limiter, "tokens": None, "breaker": breaker}
    call = {"id": "4f2a-17", "operation": "twilio:taskrouter", "priority": 5, "waits_s": 3.2, "reason": f"held {HOLD}"}
    console = screen(is_terminal=False, width=width)

    console.print(all_services({"services": [service | {"operations": {"taskrouter": operation}}]}))
    console.print(one_service({"limiters": [], "operations": {"taskrouter": shown}, "changes": {}}))
    console.print(waiting_calls({"calls": [call]}))

    printed = text(console)
    assert max(map(len, printed.splitlines())) <= width
    joined = "".join(printed.split())
    for word in ("taskrouter", "98,000", "14:32:10", "half_open", "4f2a-17"):
        assert word in printed or word in joined, word
