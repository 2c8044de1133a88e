"""The outcome of an album that arrived in part."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from tempogram.bot.telegram.albums import album_outcome
from tempogram.bot.telegram.method_classes import BY_NAME
from tempogram.bot.validation import parameter_types
from tempogram.engine.model.outcomes import Failed, HalfSent, Outcome, Rejected, Sent, Throttled
from tests.fakes import outgoing

PHOTOS = [{"type": "photo", "media": f"https://example.org/{number}.jpg"} for number in range(5)]
SHARED = {"message_thread_id": 9, "disable_notification": True, "reply_parameters": {"message_id": 3}}


def failed(number: int, error: str = "WEBPAGE_CURL_FAILED") -> str:
    return f'Bad Request: failed to send message #{number} with the error message "{error}"'


def outcome_of(outcome: Outcome, media: list[dict[str, Any]] = PHOTOS, method: str = "sendMediaGroup") -> Outcome:
    message = outgoing("a", method=method, cost=len(media))
    return album_outcome(structs.replace(message, params=msgspec.json.encode(SHARED | {"media": media})), outcome)


def test_the_items_before_the_first_that_failed_have_arrived_and_the_others_are_an_album_again() -> None:
    cause = Throttled(8_000, failed(3, "Too Many Requests: retry after 8"))

    half = outcome_of(cause)

    assert isinstance(half, HalfSent)
    assert (half.delivered, half.cause) == (2, cause)
    assert (half.rest.method, half.rest.cost) == ("sendMediaGroup", 3)
    assert msgspec.json.decode(half.rest.params) == SHARED | {"media": PHOTOS[2:]}


@pytest.mark.parametrize(
    ("item", "method"),
    [
        (
            {"type": "photo", "media": "a", "caption": "c", "parse_mode": "HTML", "has_spoiler": True},
            "sendPhoto",
        ),
        ({"type": "video", "media": "a", "width": 3, "duration": 4, "supports_streaming": True}, "sendVideo"),
        ({"type": "audio", "media": "a", "performer": "b", "title": "c"}, "sendAudio"),
        ({"type": "document", "media": "a", "disable_content_type_detection": True}, "sendDocument"),
        ({"type": "live_photo", "media": "a", "photo": "b", "caption": "c"}, "sendLivePhoto"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_last_item_is_sent_by_the_method_of_its_kind_with_all_its_fields(item: dict[str, Any], method: str) -> None:
    half = outcome_of(Rejected(400, failed(2)), media=[PHOTOS[0], item])

    assert isinstance(half, HalfSent)
    assert (half.rest.method, half.rest.cost) == (method, 1)
    params = msgspec.json.decode(half.rest.params)
    file = {str(item["type"]): item["media"]}
    assert params == SHARED | file | {name: value for name, value in item.items() if name not in {"type", "media"}}
    parameter_types.check(BY_NAME[method.lower()], params | {"chat_id": 7})


@pytest.mark.parametrize(
    "outcome",
    [
        Rejected(400, failed(1)),
        Throttled(8_000, failed(1, "Too Many Requests: retry after 8")),
        Rejected(400, failed(6)),
        Rejected(400, failed(99)),
        Rejected(400, failed(0)),
        Rejected(400, "Bad Request: group send failed"),
        Failed("HTTP 502", 502),
        Sent(7),
    ],
    ids=repr,
)
def test_an_album_of_which_nothing_arrived_keeps_its_outcome(outcome: Outcome) -> None:
    assert outcome_of(outcome) == outcome


def test_the_outcome_of_any_other_method_is_left_alone() -> None:
    outcome = Rejected(400, failed(3))

    assert outcome_of(outcome, method="copyMessages") == outcome
