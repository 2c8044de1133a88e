from __future__ import annotations

from tempogram.engine.services.calling.throttled_pause import PAUSE_MS_MAX, ThrottledPause


def test_calls_that_are_throttled_together_pause_once() -> None:
    pause = ThrottledPause()

    assert {pause.until_ms(now_ms, first_ms=1_000) for now_ms in range(50)} == {1_000}


def test_each_429_after_a_pause_doubles_the_next_up_to_a_minute() -> None:
    pause, now_ms, lengths = ThrottledPause(), 0, []
    for _ in range(9):
        until_ms = pause.until_ms(now_ms, first_ms=1_000)
        lengths.append(until_ms - now_ms)
        now_ms = until_ms

    assert lengths == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, PAUSE_MS_MAX, PAUSE_MS_MAX, PAUSE_MS_MAX]


def test_an_answer_after_a_pause_begins_anew() -> None:
    pause = ThrottledPause()
    pause.until_ms(0, first_ms=1_000)

    pause.end(1_500)

    assert pause.until_ms(2_000, first_ms=1_000) == 3_000


def test_an_answer_to_a_call_from_before_the_pause_ends_nothing() -> None:
    pause = ThrottledPause()
    pause.until_ms(0, first_ms=1_000)

    pause.end(500)

    assert pause.until_ms(1_000, first_ms=1_000) == 3_000
