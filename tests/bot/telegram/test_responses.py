"""The outcome of each of Telegram's answers, and of nonsense."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tempogram.bot.telegram.responses import RETRY_AFTER_S_MAX, classify, header_wait_s
from tempogram.engine.model.outcomes import Failed, Migrated, Outcome, Rejected, Revoked, Sent, Throttled, Uncertain


def ok(result: object) -> bytes:
    return msgspec.json.encode({"ok": True, "result": result})


def refused(code: int, description: str, **parameters: int) -> tuple[int, bytes]:
    answer: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    return code, msgspec.json.encode(answer | ({"parameters": parameters} if parameters else {}))


HIDDEN = 'Bad Request: failed to send message #1 with the error message "Too Many Requests: retry after 8"'
UPGRADED = "Bad Request: group chat was upgraded to a supergroup chat"
UNREACHABLE = [
    "Forbidden: bot was blocked by the user",
    "Forbidden: user is deactivated",
    "Forbidden: bot was kicked from the supergroup chat",
    "Forbidden: bot is not a member of the channel chat",
    "Forbidden: bot can't initiate conversation with a user",
]

REMOVED = "Internal Server Error: sent message was immediately deleted"

TABLE: list[tuple[tuple[int, bytes], Outcome]] = [
    (
        refused(429, "Too Many Requests: retry after 37", retry_after=37),
        Throttled(37_000, "Too Many Requests: retry after 37"),
    ),
    (refused(429, "Too Many Requests", retry_after=10_000), Throttled(10_000_000, "Too Many Requests")),
    (refused(429, "Too Many Requests"), Throttled(1_000, "Too Many Requests")),
    (
        refused(429, "Too Many Requests: retry after 8"),
        Throttled(8_000, "Too Many Requests: retry after 8"),
    ),
    (refused(400, HIDDEN), Throttled(8_000, HIDDEN)),
    (refused(400, UPGRADED, migrate_to_chat_id=-100123), Migrated(-100123)),
    (refused(400, "Bad Request: chat not found"), Rejected(400, "Bad Request: chat not found")),
    (refused(400, "Bad Request: message is too long"), Rejected(400, "Bad Request: message is too long")),
    (refused(401, "Unauthorized"), Revoked("Unauthorized")),
    *[(refused(403, reason), Rejected(403, reason, unreachable=True)) for reason in UNREACHABLE],
    (refused(404, "Not Found: method not found"), Rejected(404, "Not Found: method not found")),
    (refused(413, "Request Entity Too Large"), Rejected(413, "Request Entity Too Large")),
    (refused(500, "Internal Server Error"), Failed("Internal Server Error", 500)),
    (refused(500, REMOVED), Sent(None, b'{"ok":true,"result":null}', removed=REMOVED)),
    (refused(502, "Bad Gateway"), Failed("Bad Gateway", 502)),
    (refused(503, "Service Unavailable"), Failed("Service Unavailable", 503)),
    (refused(504, "Gateway Timeout"), Failed("Gateway Timeout", 504)),
]

NONSENSE: list[tuple[int, bytes, Outcome]] = [
    (502, b"<html>Bad Gateway</html>", Failed("HTTP 502", 502)),
    (500, b"", Failed("HTTP 500", 500)),
    (429, b"<html>slow down</html>", Throttled(1_000)),
    (429, b"Too Many Requests: retry after 8", Throttled(8_000)),
    (429, b"\xff Too Many Requests: Retry after 8 s", Throttled(8_000)),
    (429, b'{"ok":false,"description":"retry after 8","parameters":{"retry_after":"soon"}}', Throttled(8_000)),
    (429, b" " * 1_000_000 + b"retry after 8", Throttled(1_000)),
    (200, b"<html>hello</html>", Uncertain("HTTP 200 with an answer that is not Telegram's")),
    (302, b"", Failed("HTTP 302", 302)),
    (403, b"<html>forbidden by a proxy</html>", Failed("HTTP 403", 403)),
    (400, b"[]", Failed("HTTP 400", 400)),
    (400, b"null", Failed("HTTP 400", 400)),
    (400, b'{"ok":"perhaps"}', Failed("HTTP 400", 400)),
    (400, b"{}", Failed("HTTP 400", 400)),
    (500, b"{}", Failed("HTTP 500", 500)),
    (401, b'{"message":"Unauthorized"}', Failed("HTTP 401", 401)),
    (403, b'{"message":"Forbidden"}', Failed("HTTP 403", 403)),
    (404, b"{}", Failed("HTTP 404", 404)),
    (413, b'{"message":"Too large"}', Rejected(413, "HTTP 413")),
    (200, b"{}", Uncertain("HTTP 200 with an answer that is not Telegram's")),
    (429, b'{"ok":false,"description":"wait","parameters":{"retry_after":8}}', Throttled(8_000, "wait")),
    (400, b'{"ok":false,"description":"\xff"}', Failed("HTTP 400", 400)),
    (400, b'{"result":' + b"[" * 100_000, Failed("HTTP 400", 400)),
    (429, b'{"ok":false,"error_code":429,"parameters":{"retry_after":-5}}', Throttled(1_000)),
    (429, b'{"ok":false,"error_code":429,"parameters":{"retry_after":1e30}}', Throttled(1_000)),
    (429, b'{"ok":false,"error_code":429,"parameters":{"retry_after":' + b"9" * 40 + b"}}", Throttled(1_000)),
]


@pytest.mark.parametrize(("answer", "outcome"), TABLE, ids=lambda value: repr(value)[:60])
def test_each_answer_of_telegram_has_the_outcome_in_the_table(answer: tuple[int, bytes], outcome: Outcome) -> None:
    assert classify(*answer) == outcome


@pytest.mark.parametrize(("status", "body", "outcome"), NONSENSE, ids=lambda value: repr(value)[:40])
def test_an_answer_that_is_not_telegrams_is_classified_by_its_status(
    status: int, body: bytes, outcome: Outcome
) -> None:
    assert classify(status, body) == outcome


@pytest.mark.parametrize(
    ("result", "number", "chat_id"),
    [
        ({"message_id": 7, "chat": {"id": -5}, "text": "a"}, 7, -5),
        ({"message_id": 9}, 9, None),
        ([], None, None),
        (True, None, None),
        ("a link", None, None),
        ([1, 2], None, None),
        ({"message_id": "no number"}, None, None),
        ({"id": "a poll"}, None, None),
        (None, None, None),
    ],
    ids=repr,
)
def test_a_success_is_sent_whatever_the_result_is(result: object, number: int | None, chat_id: int | None) -> None:
    body = ok(result)

    assert classify(200, body) == Sent(number, body, chat_id)


def test_of_an_album_the_number_of_each_item_is_known() -> None:
    body = ok([{"message_id": 7, "chat": {"id": -5}}, {"message_id": 8, "chat": {"id": -5}}])

    assert classify(200, body) == Sent(7, body, -5, item_ids=(7, 8))


@pytest.mark.parametrize("body", [b"", b"<html>", refused(429, "Too Many Requests")[1]])
def test_a_429_is_obeyed_whose_wait_stands_only_in_the_header(body: bytes) -> None:
    outcome = classify(429, body, header_s=9)

    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_ms == 9_000


def test_what_telegram_says_itself_counts_more_than_a_header() -> None:
    outcome = classify(*refused(429, "Too Many Requests", retry_after=3), header_s=9)

    assert outcome == Throttled(3_000, "Too Many Requests")


NOW, IN_NINE_S, LONG_AGO = (f"Mon, 30 Nov 2026 {time} GMT" for time in ("12:00:00", "12:00:09", "11:00:00"))


@pytest.mark.parametrize(
    ("retry_after", "date", "seconds"),
    [
        ("9", "", 9),
        (" 9 ", NOW, 9),
        (IN_NINE_S, NOW, 9),
        (LONG_AGO, NOW, None),
        ("9" * 5_000, "", RETRY_AFTER_S_MAX),
        ("Fri, 31 Dec 9999 23:59:59 GMT", NOW, RETRY_AFTER_S_MAX),
        ("-9", NOW, None),
        ("9.5", NOW, None),
        ("soon", NOW, None),
        ("²", NOW, None),
        ("", NOW, None),
        ("Mon, 99 Nov 2026 99:99:99 GMT", NOW, None),
    ],
)
def test_a_retry_after_header_counts_as_seconds_or_as_a_time(retry_after: str, date: str, seconds: int | None) -> None:
    assert header_wait_s(retry_after, date) == seconds


@given(retry_after=st.text(max_size=60), date=st.text(max_size=60))
def test_no_header_is_too_strange_to_be_read(retry_after: str, date: str) -> None:
    seconds = header_wait_s(retry_after, date)

    assert seconds is None or 0 <= seconds <= RETRY_AFTER_S_MAX


def test_a_429_with_an_absurd_number_is_still_throttled() -> None:
    description = "Too Many Requests: retry after " + "9" * 5_000

    outcome = classify(*refused(400, description))

    assert isinstance(outcome, Throttled)
    assert 0 < outcome.retry_after_ms < 2**63


KINDS = get_args(Outcome)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "ok": st.booleans() | st.none() | st.text(max_size=3),
        "error_code": st.integers(-1, 700) | st.none() | st.text(max_size=3),
        "description": st.text(st.characters(exclude_categories=["Cs"])) | st.just(HIDDEN) | st.none(),
        "parameters": st.none()
        | st.dictionaries(
            st.sampled_from(["retry_after", "migrate_to_chat_id"]), st.integers(-(2**63), 2**63 - 1) | st.none()
        ),
        "result": st.none() | st.booleans() | st.lists(st.integers(0, 3)) | st.just({"message_id": 7}),
    },
)


@given(status=st.integers(100, 599), body=st.binary())
@example(status=200, body=b'{"ok":true,"result":' + b"[" * 5_000)
@example(status=200, body=b'{"ok":true,"result":{"message_id":5,"chat":{"id":"\xff"}}}')
def test_classify_raises_for_no_bytes(status: int, body: bytes) -> None:
    assert isinstance(classify(status, body), KINDS)


@given(status=st.integers(100, 599), answer=ANSWERS)
def test_classify_raises_for_no_nearly_valid_object(status: int, answer: dict[str, Any]) -> None:
    outcome = classify(status, msgspec.json.encode(answer))

    assert isinstance(outcome, KINDS)
    assert isinstance(outcome, Sent) == (answer.get("ok") is True and is_readable(answer))
    if isinstance(outcome, Throttled):
        assert 0 < outcome.retry_after_ms < 2**53


def is_readable(answer: dict[str, Any]) -> bool:
    retry_after = (answer.get("parameters") or {}).get("retry_after")
    return (
        not isinstance(answer.get("error_code"), str)
        and isinstance(answer.get("description", ""), str)
        and (retry_after is None or 0 <= retry_after < 10**9)
    )


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 1 << 90])
def test_a_number_that_no_database_takes_is_not_known(number: int) -> None:
    """Its record was written again and again, and its message sent again once the lease had run out."""
    sent = classify(200, b'{"ok":true,"result":{"message_id":%d,"chat":{"id":5}}}' % number)
    album = classify(200, b'{"ok":true,"result":[{"message_id":7},{"message_id":%d}]}' % number)
    moved = classify(400, b'{"ok":false,"error_code":400,"parameters":{"migrate_to_chat_id":%d}}' % number)

    assert [type(sent), type(album), type(moved)] == [Sent, Sent, Failed]
    assert isinstance(sent, Sent)
    assert (sent.telegram_message_id, sent.chat_id) == (None, None)


def test_telegrams_words_have_no_nul() -> None:
    refused = classify(400, b'{"ok":false,"error_code":400,"description":"Bad Request: a\\u0000b"}')

    assert refused == Rejected(400, "Bad Request: ab")
