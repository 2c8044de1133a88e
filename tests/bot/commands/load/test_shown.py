from __future__ import annotations

from tempogram.bot.commands.load.plan import Bounds, Plan
from tempogram.bot.commands.load.seen import Seen
from tempogram.bot.commands.load.shown import as_json, checks, in_words

PLAN = Plan(method="GET", url="http://127.0.0.1:8000/api/calls")


def seen(bounds: Bounds, *answers: tuple[float, int], took_s: float = 1.0) -> Seen:
    """Answers by their time and status; each took 20 ms."""
    seen = Seen(bounds, begun=len(answers), took_s=took_s)
    for at_s, status in answers:
        seen.answer(status, planned_s=at_s - 0.02, began_s=at_s - 0.02, ended_s=at_s)
    return seen


def test_all_that_held_is_said_with_its_figures() -> None:
    bounds = Bounds(limit=2, p99_max_ms=30)

    shown = in_words(seen(bounds, (0.1, 200), (0.2, 429), (0.3, 200)))

    assert shown == (
        "  3 requests in 1.00 s, 3.0 answers a second\n"
        "  statuses   200: 2   429: 1\n"
        "  latency    p50 20.0 ms   p95 20.0 ms   p99 20.0 ms   max 20.0 ms\n"
        "\n"
        "  held          limit: at most 2 answers but 429s in any 1 s, 2 allowed; 100 % of it used\n"
        "  held          p99: 20.0 ms, 30.0 ms allowed\n"
        "  held          errors: 0 of 3 requests, 0 allowed"
    )


def test_all_that_did_not_hold_is_said() -> None:
    bounds = Bounds(limit=1, p99_max_ms=10)

    judged = checks(seen(bounds, (0.1, 200), (0.2, 500)))

    assert [(each.name, each.held) for each in judged] == [("limit", False), ("p99", False), ("errors", False)]
    assert judged[0].sentence == "at most 2 answers but 429s in any 1 s, 1 allowed; 200 % of it used"


def test_a_program_that_paces_its_callers_is_not_found_to_break_its_limit() -> None:
    paced = Seen(Bounds(limit=1), begun=5, took_s=5.0)
    for number in range(5):
        paced.answer(200, planned_s=0.0, began_s=0.0, ended_s=number + 1.0)

    assert all(each.held for each in checks(paced))


def test_no_answer_at_all_did_not_hold() -> None:
    nothing = Seen(Bounds(errors_max=9), begun=1)
    nothing.unanswered["timed out"] = 1

    assert [(each.name, each.held) for each in checks(nothing)] == [("answers", False), ("errors", True)]
    assert "latency" not in in_words(nothing)


def test_requests_that_began_late_are_said() -> None:
    late = seen(Bounds(), (0.1, 200))
    late.late.add(0.5)

    assert "began late p99 500 ms, max 500 ms" in in_words(late)


def test_a_limit_that_is_broken_many_times_over_takes_no_more_memory() -> None:
    broken = seen(Bounds(limit=1, window_s=60), *[(each / 1_000, 200) for each in range(1_000)])

    assert (broken.window.most, len(broken.window._began_s)) == (10, 10)


def test_json_has_every_figure() -> None:
    answer = as_json(PLAN, seen(Bounds(limit=2, p99_max_ms=30), (0.1, 200), (0.2, 429)))

    assert answer["limit"] == {"limit": 2, "window_s": 1.0, "held": True, "most_in_window": 1, "share_used": 0.5}
    assert (answer["statuses"], answer["held"]) == ({"200": 1, "429": 1}, True)
    assert [each["name"] for each in answer["checks"]] == ["limit", "p99", "errors"]
    assert answer["latency_ms"]["p99"] == 20
