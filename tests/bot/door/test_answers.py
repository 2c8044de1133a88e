"""What clients of the Bot API get: Telegram's own answer, or one in its form and words."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tempogram.api.core.ports import Way
from tempogram.bot.door.answers import Answers
from tempogram.bot.telegram.methods import DIRECT, QUEUED
from tempogram.engine.model.messages import Rest, Status
from tempogram.engine.model.outcomes import Failed, HalfSent, Lost, Outcome, Rejected, Sent, Uncertain
from tempogram.engine.ports import Result
from tests.fakes import outgoing

ANSWERS = Answers()


def answered(
    outcome: Outcome | None,
    status: Status = Status.SENT,
    *,
    method: str = "sendMessage",
    replaced_by: str | None = None,
    **params: Any,
) -> tuple[int, Any]:
    message = outgoing("a", chat_id=-100, method=method, params=msgspec.json.encode(params))
    answer = ANSWERS.answer(message, Result("a", status, outcome, replaced_by))
    return answer.status, json.loads(answer.body)


def refusal(outcome: Outcome | None, status: Status = Status.DEAD) -> tuple[int, str]:
    code, body = answered(outcome, status)
    assert (body["ok"], body["error_code"]) == (False, code)
    return code, body["description"]


def test_an_answer_of_telegram_is_returned_as_it_came() -> None:
    body = b'{"ok":true,  "result":{"message_id":7,"chat":{"id":5,"type":"private"},"date":1,"new_field":[1]}}'
    message = outgoing("a", params=b'{"text":"a"}')

    answer = ANSWERS.answer(message, Result("a", Status.SENT, Sent(7, body)))

    assert (answer.status, answer.body) == (200, body)


def test_the_last_item_of_an_album_that_was_sent_alone_is_an_album_for_its_caller() -> None:
    single = b'{"ok":true,"result":{"message_id":7,"chat":{"id":5,"type":"private"},"date":1}}'

    _, body = answered(Sent(7, single), method="sendMediaGroup", media=[])

    assert [each["message_id"] for each in body["result"]] == [7]


def test_a_message_whose_answer_is_not_kept_is_shown_as_its_call_says() -> None:
    code, body = answered(Sent(9), text="hello", message_thread_id=3)
    result = body["result"]

    assert (code, body["ok"]) == (200, True)
    assert (result["message_id"], result["text"], result["message_thread_id"]) == (9, "hello", 3)
    assert result["chat"] == {"id": -100, "type": "supergroup"}
    assert isinstance(result["date"], int)
    assert "tempogram_id" not in result


@pytest.mark.parametrize("name", ["cls", "_fields_set", "chat_id"])
def test_a_parameter_that_telegram_does_not_know_changes_no_answer(name: str) -> None:
    odd: dict[str, Any] = {"text": "hello", name: 1}

    assert answered(Sent(9), **odd)[0] == 200


def test_an_album_whose_answer_is_not_kept_is_shown_whole() -> None:
    _, body = answered(Sent(9, item_ids=(9, 10)), method="sendMediaGroup", media=[])

    assert [each["message_id"] for each in body["result"]] == [9, 10]


def test_a_call_that_shows_nothing_is_true() -> None:
    assert answered(Sent(None), method="deleteMessage", message_id=7) == (200, {"ok": True, "result": True})


def test_an_edit_that_a_newer_one_made_needless_is_answered_as_done() -> None:
    code, body = answered(None, Status.CANCELLED, method="editMessageText", replaced_by="b", message_id=7, text="newer")

    assert (code, body["result"]["message_id"], body["result"]["text"]) == (200, 7, "newer")


def test_a_value_that_is_not_kept_is_a_conflict() -> None:
    assert answered(Sent(None), method="createInvoiceLink")[0] == 409


@pytest.mark.parametrize(
    ("outcome", "status", "refused"),
    [
        (Rejected(403, "Forbidden: x"), Status.DEAD, (403, "Forbidden: x")),
        (Rejected(400, "Bad Request: chat not found"), Status.DEAD, (400, "Bad Request: chat not found")),
        (Failed("Internal Server Error", 500), Status.DEAD, (500, "Internal Server Error")),
        (
            Failed("TimeoutError"),
            Status.DEAD,
            (502, "Bad Gateway: Telegram could not be reached: TimeoutError"),
        ),
        (
            Failed("the message's files could not be read", is_ours=True),
            Status.DEAD,
            (500, "Internal Server Error: the message's files could not be read"),
        ),
        (
            Uncertain("the connection broke"),
            Status.UNCERTAIN,
            (504, "Gateway Timeout: Telegram gave no answer, so perhaps it was sent: the connection broke"),
        ),
        (
            Lost(3),
            Status.DEAD,
            (504, "Gateway Timeout: Telegram gave no answer, so perhaps it was sent: its worker lost the lease"),
        ),
        (None, Status.EXPIRED, (400, "Bad Request: the message expired before it could be sent")),
        (None, Status.CANCELLED, (400, "Bad Request: the message was taken back before it was sent")),
        (
            HalfSent(1, Rest("sendPhoto", b"{}", 1), Rejected(400, 'failed to send message #2 with the error "x"')),
            Status.DEAD,
            (400, 'failed to send message #2 with the error "x"'),
        ),
        (
            Sent(None, b'{"ok":true}', removed="Internal Server Error: sent message was immediately deleted"),
            Status.SENT,
            (500, "Internal Server Error: sent message was immediately deleted"),
        ),
    ],
)
def test_an_end_without_a_message_is_said_in_telegrams_words(
    outcome: Outcome | None, status: Status, refused: tuple[int, str]
) -> None:
    assert refusal(outcome, status) == refused


def test_every_method_of_the_queue_goes_through_it_in_any_case() -> None:
    assert {ANSWERS.way(spelled) for name in QUEUED for spelled in (name, name.lower(), name.upper())} == {Way.QUEUE}


def test_every_other_method_goes_to_telegram() -> None:
    ways = {name: ANSWERS.way(name) for name in (*DIRECT, "sendSomethingNew")}

    assert {name for name, way in ways.items() if way is Way.UPDATES} == {"getUpdates", "setWebhook", "deleteWebhook"}
    assert {name for name, way in ways.items() if way is Way.ACTION} == {"sendChatAction"}
    assert Way.QUEUE not in ways.values()
