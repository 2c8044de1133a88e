from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError, NoQueue
from tempogram.engine.model.messages import Again, Guarantee, Priority, Settlement, Status
from tempogram.engine.ports import Target
from tests.api.fakes import BOT_ID, BOT_TOKEN, World, error_of
from tests.fakes import START_MS

JSON = {"Content-Type": "application/json"}
HELLO = {"bot": str(BOT_ID), "chat_id": 7, "text": "hello"}
TIME = "should be ISO 8601 with a zone (2026-01-01T12:00:00Z) or seconds since the epoch"


class TestSubmitting:
    async def test_a_text_is_accepted_with_an_id_under_which_it_can_be_found(self, world: World) -> None:
        response = await world.client.post("/messages", json=HELLO)

        assert response.status_code == 202
        assert response.json() == {"id": next(iter(world.storage.states)), "status": "queued"}
        assert (await world.broker.stats()).waiting[Priority.NORMAL] == 1

    async def test_a_bot_may_be_a_number_or_text(self, world: World) -> None:
        await world.submitted(bot=BOT_ID)
        await world.submitted(bot=str(BOT_ID))

        assert [each.bot_id for each in world.storage.messages.values()] == [BOT_ID, BOT_ID]

    async def test_any_method_is_accepted_with_all_of_its_options(self, world: World) -> None:
        wanted = {
            "bot": BOT_ID,
            "chat_id": "@news",
            "method": "sendPhoto",
            "params": {"photo": "https://example.org/cat.jpg"},
            "priority": "low",
            "send_at": (START_MS + 60_000) / 1_000,
            "expires_in_s": 10,
            "dedup_key": "cat",
            "delivery": "at_most_once",
            "user_id": 501,
            "tag": "весна 2026",
        }

        await world.client.post("/messages", json=wanted)

        (message,) = world.storage.messages.values()
        assert (message.chat_id, message.method, message.priority) == ("@news", "sendPhoto", Priority.LOW)
        assert message.ready_at_ms == START_MS + 60_000
        assert message.expires_at_ms == START_MS + 70_000
        assert (message.guarantee, message.user_id) == (Guarantee.AT_MOST_ONCE, 501)
        assert message.tag == "весна 2026"

    @pytest.mark.parametrize("tag", ["", "a" * 65, "a\nb", "a\x00", "\u202eevil", 7])
    async def test_a_tag_that_is_not_printable_or_too_long_is_refused(self, world: World, tag: object) -> None:
        response = await world.client.post("/messages", json={**HELLO, "tag": tag})

        assert error_of(response)[:2] == (422, "invalid")
        assert error_of(response)[2].startswith("tag should have 1 to 64 printable characters, not ")

    async def test_a_message_is_shown_with_its_tag(self, world: World) -> None:
        tagged, plain = await world.submitted(tag="spring"), await world.submitted()

        assert (await world.client.get(f"/messages/{tagged}")).json()["tag"] == "spring"
        assert (await world.client.get(f"/messages/{plain}")).json()["tag"] is None

    async def test_the_time_to_send_at_may_be_iso_8601_with_a_zone(self, world: World) -> None:
        moment = datetime.fromtimestamp(START_MS / 1_000, UTC).isoformat()

        await world.submitted(send_at=moment)

        assert next(iter(world.storage.messages.values())).ready_at_ms == START_MS

    async def test_the_same_key_is_answered_with_the_first_ones_state(self, world: World) -> None:
        first = await world.submitted(dedup_key="once")
        await world.storage.end(first, Status.SENT)

        response = await world.client.post("/messages", json=HELLO | {"dedup_key": "once"})

        assert response.json() == {"id": first, "status": "sent"}

    async def test_a_clients_dedup_key_never_equals_one_of_a_handler(self, world: World) -> None:
        await world.submitted(dedup_key="update:42:1:1")

        assert next(iter(world.storage.messages.values())).dedup_key == "client:update:42:1:1"

    async def test_a_message_to_a_full_chat_is_refused_with_a_time_to_retry(self) -> None:
        world = World(limits=Limits(chat_cap=1))
        await world.submitted()

        response = await world.client.post("/messages", json=HELLO)

        assert error_of(response)[:2] == (429, "queue_full")
        assert int(response.headers["retry-after"]) > 0
        assert len(world.storage.states) == 1

    async def test_no_message_is_accepted_while_the_ledger_is_unavailable(self, world: World) -> None:
        world.storage.asleep = True

        response = await world.client.post("/messages", json=HELLO)

        assert error_of(response)[:2] == (503, "ledger_unavailable")
        assert response.headers["retry-after"] == "1"
        assert "10.0.0.5" not in response.text

    async def test_a_message_in_the_ledger_stays_accepted_while_the_broker_is_unavailable(self, world: World) -> None:
        world.broker.asleep = True

        response = await world.client.post("/messages", json=HELLO)

        assert response.status_code == 202
        assert response.json()["id"] in world.storage.states

    async def test_a_bot_that_does_not_run_here_is_refused(self, world: World) -> None:
        response = await world.client.post("/messages", json=HELLO | {"bot": 5})

        assert error_of(response) == (400, "refused", "bot 5 does not run here; add it with POST /bots")

    async def test_a_known_bot_is_looked_up_once(self, world: World) -> None:
        await world.submitted()
        await world.submitted()

        assert world.bots.reads == 1

    async def test_a_refusal_of_the_composer_is_shown_as_it_is(self, world: World) -> None:
        wanted = {"bot": BOT_ID, "chat_id": 7, "method": "sendNonsense"}

        response = await world.client.post("/messages", json=wanted)

        assert error_of(response) == (400, "refused", "Telegram has no method 'sendNonsense'")

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"priority": "urgent"}, "priority should be 'high', 'normal' or 'low', not 'urgent'"),
            ({"bot": "me"}, "bot should be a bot's id, the number before the colon of its token, not 'me'"),
            ({"bot": True}, "bot should be a bot's id, the number before the colon of its token, not True"),
            ({"bot": 10**30}, "bot should be a bot's id, the number before the colon of its token, not 1" + "0" * 30),
            ({"chat_id": "news"}, "chat_id should be a chat's id or its @name, not 'news'"),
            ({"chat_id": 1.5}, "chat_id should be a chat's id or its @name, not 1.5"),
            ({"user_id": -5}, "user_id should be a user's id, a number above 0, not -5"),
            ({"user_id": "@anna"}, "user_id should be a user's id, a number above 0, not '@anna'"),
            ({"send_at": "2026-01-01T12:00:00"}, f"send_at {TIME}, not '2026-01-01T12:00:00'"),
            ({"send_at": "soon"}, f"send_at {TIME}, not 'soon'"),
            ({"send_at": START_MS}, f"send_at {TIME}, not 1700000000000"),
            ({"expires_in_s": 0}, "expires_in_s should be greater than 0, not 0"),
            ({"prioritiy": "high"}, "prioritiy is not a field of this request"),
            ({"method": "sendMessage"}, "a message needs either a text or a method"),
            ({"text": None}, "a message needs either a text or a method"),
            ({"params": {"chat_id": 7}}, "chat_id belongs beside method, not in params"),
            ({"delivery": "maybe"}, "delivery should be 'at_least_once' or 'at_most_once', not 'maybe'"),
            ({"text": ["a" * 100]}, f"text should be a valid string, not ['{'a' * 57}…"),
        ],
    )
    async def test_a_wrong_field_is_named_and_its_value_quoted(
        self, world: World, change: dict[str, Any], sentence: str
    ) -> None:
        response = await world.client.post("/messages", json=HELLO | change)

        assert error_of(response) == (422, "invalid", sentence)

    async def test_a_missing_field_is_named(self, world: World) -> None:
        response = await world.client.post("/messages", json={"text": "hello"})

        assert error_of(response) == (422, "invalid", "bot is missing")

    @pytest.mark.parametrize(
        "body", [b'{"bot": 42,', b"{'bot': 42}", b'{"bot": NaN}', b'"\\ud800"', b"\xff", b"[" * 100_000]
    )
    async def test_a_body_that_is_not_json_is_refused(self, world: World, body: bytes) -> None:
        response = await world.client.post("/messages", content=body, headers={"Content-Type": "application/json"})

        assert error_of(response)[:2] == (400, "malformed")

    async def test_a_body_of_another_content_type_is_refused_with_the_right_one(self, world: World) -> None:
        response = await world.client.post("/messages", content=json.dumps(HELLO))

        expected = "the body should be a JSON object, sent with Content-Type: application/json"
        assert error_of(response) == (422, "invalid", expected)

    async def test_a_missing_body_is_refused(self, world: World) -> None:
        assert error_of(await world.client.post("/messages")) == (422, "invalid", "the body is missing")

    async def test_a_message_to_an_unreachable_chat_is_refused_before_it_is_accepted(self, world: World) -> None:
        await world.reachability.mark_unreachable(42, 7, "Forbidden: bot was blocked by the user")

        refused = await world.client.post("/messages", json=HELLO)
        batch = await world.client.post("/messages/batch", json=[HELLO, HELLO | {"chat_id": 8}])

        words = "chat 7 takes nothing from bot 42 until a user writes there: Forbidden: bot was blocked by the user"
        assert error_of(refused) == (409, "chat_unreachable", words)
        assert [list(each) for each in batch.json()] == [["error"], ["id", "status"]]
        assert batch.json()[0] == {"error": words}
        assert [each.chat_id for each in world.storage.states.values()] == [8]

    async def test_a_call_that_refers_to_a_message_that_is_not_known_is_refused(self, world: World) -> None:
        edit = {"bot": "42", "chat_id": 7, "method": "editMessageText", "params": {"message_id": -5, "text": "b"}}

        refused = await world.client.post("/messages", json=edit)
        batch = await world.client.post("/messages/batch", json=[edit, HELLO])

        words = (
            "Bad Request: message -5 is not known: a negative number stands for a message that bot 42 had waiting, "
            "and this one stands for none"
        )
        assert error_of(refused) == (409, "target_lost", words)
        assert batch.json()[0] == {"error": words}
        assert len(world.storage.states) == 1

    async def test_a_batch_that_the_database_fails_halfway_says_which_messages_were_accepted(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        edit = {"bot": "42", "chat_id": 7, "method": "editMessageText", "params": {"message_id": -5, "text": "b"}}
        reads: Iterator[dict[int, Target]] = iter([{}])

        async def targets(*_: object) -> dict[int, Target]:
            if (read := next(reads, None)) is None:
                raise LedgerError("disk I/O error")
            return read

        monkeypatch.setattr(world.handles, "targets", targets)

        batch = await world.client.post("/messages/batch", json=[HELLO, edit, edit, HELLO])

        assert [list(each) for each in batch.json()] == [["id", "status"], ["error"], ["error"], ["error"]]
        assert batch.json()[2:] == [{"error": "the ledger cannot be reached; try again in a moment"}] * 2
        assert list(world.storage.states) == [batch.json()[0]["id"]]

    async def test_an_edit_of_a_message_that_waits_goes_behind_it(self, world: World) -> None:
        target = (await world.client.post("/messages", json=HELLO)).json()["id"]
        await world.handles.hand_out(42, target, 1)
        edit = {"bot": "42", "chat_id": 7, "method": "editMessageText", "params": {"message_id": -1, "text": "b"}}

        accepted = await world.client.post("/messages", json=edit)

        assert accepted.status_code == 202
        assert await world.broker.knows([target, accepted.json()["id"]]) == [True, True]

    async def test_a_message_accepted_while_its_chat_was_reachable_is_still_known(self, world: World) -> None:
        keyed = HELLO | {"dedup_key": "order-7"}
        first = (await world.client.post("/messages", json=keyed)).json()
        await world.reachability.mark_unreachable(42, 7, "Forbidden: bot was blocked by the user")

        again = await world.client.post("/messages", json=keyed)

        assert (again.status_code, again.json()) == (202, {"id": first["id"], "status": "dead"})


class TestWaiting:
    async def test_a_waiting_client_gets_the_end_as_soon_as_it_comes(self, world: World) -> None:
        asked = asyncio.create_task(world.client.post("/messages?wait=30", json=HELLO))
        await world.storage.added.wait()
        message_id = next(iter(world.storage.states))

        await world.send(message_id)

        response = await asked
        assert response.status_code == 200
        assert response.json()["status"] == "sent"
        assert response.json()["telegram_message_id"] == 7

    async def test_a_client_that_waited_in_vain_learns_that_its_message_is_accepted(self, world: World) -> None:
        response = await world.client.post("/messages?wait=0.001", json=HELLO)

        assert response.status_code == 202
        assert response.json()["status"] == "queued"

    async def test_a_client_that_no_longer_waits_is_forgotten(self, world: World) -> None:
        await world.client.post("/messages?wait=0.001", json=HELLO)

        assert not world.results._waiting

    async def test_a_client_whose_message_was_refused_is_forgotten(self, world: World) -> None:
        world.storage.asleep = True

        await world.client.post("/messages?wait=30", json=HELLO)

        assert not world.results._waiting

    async def test_waiting_for_a_known_key_waits_for_the_first_one(self, world: World) -> None:
        first = await world.submitted(dedup_key="once")
        asked = asyncio.create_task(world.client.post("/messages?wait=30", json=HELLO | {"dedup_key": "once"}))
        while await world.results.expected.get() != first:
            pass

        await world.send(first)

        assert (await asked).json()["id"] == first

    async def test_waiting_for_a_known_key_that_has_ended_takes_no_time(self, world: World) -> None:
        first = await world.submitted(dedup_key="once")
        await world.storage.end(first, Status.DEAD, "Forbidden")

        response = await world.client.post("/messages?wait=30", json=HELLO | {"dedup_key": "once"})

        assert (response.status_code, response.json()["status"]) == (200, "dead")

    async def test_a_cancelled_message_ends_the_wait(self, world: World) -> None:
        asked = asyncio.create_task(world.client.post("/messages?wait=30", json=HELLO))
        await world.storage.added.wait()

        await world.client.delete(f"/messages/{next(iter(world.storage.states))}")

        assert (await asked).json()["status"] == "cancelled"

    async def test_a_ledger_that_fails_during_the_wait_does_not_deny_the_acceptance(self, world: World) -> None:
        asked = asyncio.create_task(world.client.post("/messages?wait=30", json=HELLO))
        await world.storage.added.wait()
        message_id = next(iter(world.storage.states))
        world.storage.asleep = True

        await world.send(message_id)

        assert (await asked).status_code == 202

    @pytest.mark.parametrize("wait", ["-1", "31", "soon"])
    async def test_a_wait_longer_than_the_maximum_is_refused(self, world: World, wait: str) -> None:
        response = await world.client.post(f"/messages?wait={wait}", json=HELLO)

        assert error_of(response)[:2] == (422, "invalid")
        assert error_of(response)[2].startswith("wait should be ")


class TestBatches:
    async def test_each_entry_of_a_batch_gets_its_answer_in_order(self, world: World) -> None:
        first = await world.submitted(dedup_key="known")
        entries: list[Any] = [
            HELLO,
            HELLO | {"priority": "urgent"},
            HELLO | {"dedup_key": "known"},
            {"bot": BOT_ID, "chat_id": 7, "method": "sendNonsense"},
            HELLO | {"bot": 5},
            "hello",
            {"bot": BOT_ID, "chat_id": 8},
            HELLO,
        ]

        response = await world.client.post("/messages/batch", json=entries)

        answers = response.json()
        assert response.status_code == 202
        assert [each.get("status") for each in answers] == ["queued", None, "queued", None, None, None, None, "queued"]
        assert answers[2]["id"] == first
        assert [each["error"] for each in answers if "error" in each] == [
            "priority should be 'high', 'normal' or 'low', not 'urgent'",
            "Telegram has no method 'sendNonsense'",
            "bot 5 does not run here; add it with POST /bots",
            "an entry should be a JSON object",
            "a message needs either a text or a method",
        ]
        assert {answers[0]["id"], answers[7]["id"], first} == set(world.storage.states)

    async def test_an_entry_that_strict_json_does_not_take_refuses_itself_only(self, world: World) -> None:
        def entry(text: bytes) -> bytes:
            return b'{"bot": "42", "chat_id": 7, "text": "%s"}' % text

        entries = [
            entry(b"first"),
            entry(b"\\ud83d"),
            entry(b"\xff"),
            b'{"bot": "42", "chat_id": 7, "method": "sendLocation", "params": {"latitude": NaN, "longitude": 1}}',
            b'{"bot": "42", "chat_id": 7, "method": "sendDice", "params": {"value": 1e999}}',
            b'{"bot": "42", "chat_id": %s, "text": "a"}' % (b"9" * 5_000),
            entry(b"\\ud83d\\ude00"),
        ]

        response = await world.client.post("/messages/batch", content=b"[" + b",".join(entries) + b"]", headers=JSON)

        answers = response.json()
        assert response.status_code == 202
        assert [next(iter(each)) for each in answers] == ["id", *["error"] * 5, "id"]
        assert {each["error"].partition(":")[0] for each in answers[1:3]} == {"strings must be encoded in UTF-8"}
        assert {each["error"] for each in answers[3:6]} == {
            "this entry has a number that JSON does not have, or one that is out of range"
        }
        assert list(world.storage.states) == [answers[0]["id"], answers[6]["id"]]

    @pytest.mark.parametrize("depth", [400, 600, 900])
    async def test_an_entry_that_is_deep_and_no_strict_json_refuses_itself_only(self, world: World, depth: int) -> None:
        deep = b"[" * depth + b"NaN" + b"]" * depth

        response = await world.client.post("/messages/batch", content=b"[%b, [], %b]" % (deep, deep), headers=JSON)

        assert response.status_code == 202
        assert [next(iter(each)) for each in response.json()] == ["error"] * 3

    async def test_an_entry_that_is_too_deep_refuses_itself_only(self, world: World) -> None:
        deep = json.loads('{"a": ' * 120 + "1" + "}" * 120)
        entries = [HELLO, {"bot": "42", "chat_id": 7, "method": "sendMessage", "params": deep}, HELLO]

        response = await world.client.post("/messages/batch", json=entries)

        assert [next(iter(each)) for each in response.json()] == ["id", "error", "id"]
        assert response.json()[1] == {"error": "lists and objects may stand in one another up to 100 deep"}

    @pytest.mark.parametrize("body", [b'[{"bot": "42"', b'{"text": "\\ud83d"}', b"", b"[" * 100_000])
    async def test_a_batch_that_is_no_json_list_is_refused_as_a_whole(self, world: World, body: bytes) -> None:
        response = await world.client.post("/messages/batch", content=body, headers=JSON)

        assert response.status_code in {400, 422}
        assert not world.storage.states

    async def test_half_of_an_emoji_is_named_where_a_body_cannot_be_read(self, world: World) -> None:
        half, cut = (b'{"bot": "42", "chat_id": 7, "text": "%s' % end for end in (b'a\\ud83db"}', b"\\ud83d\\ude00"))

        refused = [await world.client.post("/messages", content=body, headers=JSON) for body in (half, cut)]

        words = "the body is not JSON: it ends too early, or a string has half of a surrogate pair"
        assert {error_of(each) for each in refused} == {(400, "malformed", words)}

    async def test_a_message_that_the_database_will_never_take_refuses_itself_only(self, world: World) -> None:
        world.storage.unstorable = {7}

        refused = await world.client.post("/messages", json=HELLO)
        batch = await world.client.post("/messages/batch", json=[HELLO | {"chat_id": 6}, HELLO, HELLO | {"chat_id": 8}])

        words = "the database takes no such value: a number is beyond its range"
        assert error_of(refused) == (400, "refused", words)
        assert [next(iter(each)) for each in batch.json()] == ["id", "error", "id"]
        assert batch.json()[1] == {"error": words}

    async def test_an_entry_of_a_batch_over_a_cap_is_refused_and_the_others_accepted(self) -> None:
        world = World(limits=Limits(chat_cap=1))

        response = await world.client.post("/messages/batch", json=[HELLO, HELLO, HELLO | {"chat_id": 8}])

        accepted, refused, neighbour = response.json()
        assert (accepted["status"], neighbour["status"]) == ("queued", "queued")
        assert refused["error"].startswith("chat 7 of bot 42 has 1 messages waiting")

    async def test_a_batch_of_ten_thousand_is_accepted(self, world: World) -> None:
        entries = [{"bot": BOT_ID, "chat_id": chat_id, "text": "hello"} for chat_id in range(1, 10_001)]

        response = await world.client.post("/messages/batch", json=entries)

        assert response.status_code == 202
        assert len({each["id"] for each in response.json()}) == 10_000

    async def test_a_batch_of_more_than_ten_thousand_is_refused(self, world: World) -> None:
        response = await world.client.post("/messages/batch", json=[HELLO] * 10_001)

        expected = "a batch may have at most 10,000 messages, and this one has 10,001"
        assert error_of(response) == (422, "invalid", expected)
        assert not world.storage.states

    async def test_an_empty_batch_gets_an_empty_answer(self, world: World) -> None:
        assert (await world.client.post("/messages/batch", json=[])).json() == []

    async def test_a_single_message_is_not_a_batch(self, world: World) -> None:
        response = await world.client.post("/messages/batch", json=HELLO)

        assert error_of(response)[2] == "the body should be a JSON list, sent with Content-Type: application/json"

    async def test_no_entry_of_a_batch_is_accepted_while_the_ledger_is_unavailable(self, world: World) -> None:
        world.storage.asleep = True

        assert error_of(await world.client.post("/messages/batch", json=[HELLO]))[:2] == (503, "ledger_unavailable")


class TestLooking:
    async def test_a_message_is_shown_with_its_status_and_its_attempts(self, world: World) -> None:
        message_id = await world.submitted()
        world.clock.advance(1_500)
        await world.storage.end(message_id, Status.SENT)

        response = await world.client.get(f"/messages/{message_id}")

        assert response.json() == {
            "id": message_id,
            "bot": "42",
            "chat_id": 7,
            "method": "sendMessage",
            "priority": "normal",
            "status": "sent",
            "attempt": 1,
            "submitted_at": "2023-11-14T22:13:20Z",
            "send_at": None,
            "expires_at": None,
            "sent_at": "2023-11-14T22:13:21.500000Z",
            "settled_at": "2023-11-14T22:13:21.500000Z",
            "telegram_message_id": 7,
            "reason": None,
            "tag": None,
            "delivered_items": 0,
            "attempts": [
                {
                    "number": 1,
                    "outcome": "sent",
                    "started_at": "2023-11-14T22:13:21.500000Z",
                    "recorded_at": "2023-11-14T22:13:21.500000Z",
                    "code": None,
                    "reason": None,
                    "delivered_items": None,
                }
            ],
            "files": [],
        }

    async def test_items_of_an_album_that_arrived_before_the_rest_are_counted(self, world: World) -> None:
        message_id = await world.submitted()
        for count in (3, 2, None):
            await world.storage.end(message_id, Status.SENT, items=count)

        shown = (await world.client.get(f"/messages/{message_id}")).json()

        assert shown["delivered_items"] == 5
        assert [each["delivered_items"] for each in shown["attempts"]] == [3, 2, None]

    async def test_an_unknown_message_is_not_found(self, world: World) -> None:
        assert error_of(await world.client.get("/messages/nope")) == (404, "not_found", "there is no message 'nope'")

    @pytest.mark.parametrize("message_id", ["%00", "a" * 65, "a%20b"])
    async def test_a_malformed_id_never_reaches_the_ledger(self, world: World, message_id: str) -> None:
        world.storage.asleep = True

        assert error_of(await world.client.get(f"/messages/{message_id}"))[:2] == (422, "invalid")


class TestTakingBack:
    async def test_a_waiting_message_is_cancelled_in_the_ledger_and_in_the_queue(self, world: World) -> None:
        message_id = await world.submitted()

        response = await world.client.delete(f"/messages/{message_id}")

        assert (response.status_code, response.json()) == (200, {"id": message_id, "status": "cancelled"})
        assert world.storage.states[message_id].status is Status.CANCELLED
        assert await world.leased() == ()

    async def test_a_cancelled_message_is_not_sent_though_a_rebuild_queued_it_before_its_end_was_written(
        self, world: World
    ) -> None:
        """Found by a run in which Redis was emptied: the message was sent eight seconds after it was cancelled."""
        message_id = await world.submitted()
        read = world.storage.messages[message_id]
        world.storage.meanwhile = lambda: world.broker.admit([read], worker_id="", slots=0, capped=False)

        response = await world.client.delete(f"/messages/{message_id}")

        assert response.status_code == 200
        assert await world.leased() == ()

    async def test_a_message_that_is_being_sent_cannot_be_cancelled(self, world: World) -> None:
        message_id = await world.submitted()
        await world.leased()

        response = await world.client.delete(f"/messages/{message_id}")

        expected = f"message {message_id} is being sent, so it cannot be cancelled"
        assert error_of(response) == (409, "conflict", expected)

    async def test_a_message_that_waits_for_a_retry_can_be_cancelled(self, world: World) -> None:
        message_id = await world.submitted()
        (lease,) = await world.leased()
        await world.broker.settle([Settlement(lease, Again(60_000), None)])

        assert (await world.client.delete(f"/messages/{message_id}")).status_code == 200

    async def test_a_message_that_has_ended_cannot_be_cancelled(self, world: World) -> None:
        message_id = await world.dead()

        response = await world.client.delete(f"/messages/{message_id}")

        expected = f"message {message_id} has ended as dead, so it cannot be cancelled"
        assert error_of(response) == (409, "conflict", expected)

    async def test_a_message_that_ended_while_the_queue_had_it_waiting_is_a_conflict_without_the_queue(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the queue forgot needs no second question to it: Redis may be unavailable by then."""
        message_id = await world.submitted()
        await world.storage.end(message_id, Status.SENT)

        async def unavailable(_: Sequence[str]) -> list[bool]:
            raise BrokerUnavailable("connection refused by 10.0.0.6")

        monkeypatch.setattr(world.broker, "knows", unavailable)

        response = await world.client.delete(f"/messages/{message_id}")

        expected = f"message {message_id} has ended as sent, so it cannot be cancelled"
        assert error_of(response) == (409, "conflict", expected)

    async def test_a_message_cannot_be_cancelled_twice(self, world: World) -> None:
        message_id = await world.submitted()
        await world.client.delete(f"/messages/{message_id}")

        assert error_of(await world.client.delete(f"/messages/{message_id}"))[:2] == (409, "conflict")

    async def test_an_unknown_message_cannot_be_cancelled(self, world: World) -> None:
        assert error_of(await world.client.delete("/messages/nope"))[:2] == (404, "not_found")

    async def test_a_message_that_is_not_in_the_queue_yet_can_be_cancelled_a_moment_later(self, world: World) -> None:
        world.broker.asleep = True
        message_id = await world.submitted()
        world.broker.asleep = False

        response = await world.client.delete(f"/messages/{message_id}")

        assert error_of(response)[:2] == (503, "not_scheduled")
        assert response.headers["retry-after"] == "1"

    async def test_nothing_is_cancelled_while_the_broker_is_unavailable(self, world: World) -> None:
        message_id = await world.submitted()
        world.broker.asleep = True

        response = await world.client.delete(f"/messages/{message_id}")

        assert error_of(response)[:2] == (503, "broker_unavailable")
        assert world.storage.states[message_id].status is Status.QUEUED

    async def test_a_cancelled_message_is_not_sent_though_the_ledger_stores_the_cancellation_later(
        self, world: World
    ) -> None:
        """Found by a run in which PostgreSQL crashed: it came back after those that were submitted later."""
        message_id = await world.submitted()
        ended = world.results.expect(message_id)
        world.storage.asleep = True
        response = await world.client.delete(f"/messages/{message_id}")
        assert response.status_code == 503
        assert await world.leased() == ()

        world.naps.put_nowait(None)
        assert world.storage.states[message_id].status is Status.QUEUED
        world.storage.asleep = False
        world.naps.put_nowait(None)

        assert (await asyncio.wait_for(ended, 5)).status is Status.CANCELLED
        assert world.storage.states[message_id].status is Status.CANCELLED

    async def test_a_message_that_the_queue_may_have_forgotten_is_admitted_before_later_ones(
        self, world: World
    ) -> None:
        first = await world.submitted()
        world.broker.is_mute = True
        response = await world.client.delete(f"/messages/{first}")
        assert error_of(response)[:2] == (503, "broker_unavailable")
        world.broker.is_mute = False

        second = await world.submitted()

        waiting = await world.leased()
        assert [lease.message.id for lease in waiting] == [first]
        assert await world.broker.knows([first, second]) == [True, True]

    async def test_a_message_that_the_queue_still_has_is_left_to_the_process_that_accepted_it(
        self, world: World
    ) -> None:
        """Another process may have accepted one before it, and could not queue it either."""
        message_id = await world.submitted()
        world.broker.asleep, world.broker.refusal = True, NoQueue("one process sends for all")

        response = await world.client.delete(f"/messages/{message_id}")

        assert error_of(response)[:2] == (503, "broker_unavailable")
        assert not world.dependencies.dispatcher.pending_admissions.is_behind


class TestExplaining:
    async def test_a_waiting_message_is_explained(self, world: World) -> None:
        message_id = await world.submitted(send_at=(START_MS + 60_000) / 1_000)

        response = await world.client.get(f"/messages/{message_id}/explain")

        assert response.status_code == 200
        assert response.json() == {
            "id": message_id,
            "waits_at": "scheduled",
            "before_in_lane": 0,
            "before_in_line": 0,
            "earliest_at": datetime.fromtimestamp(START_MS / 1_000 + 60, UTC).isoformat().replace("+00:00", "Z"),
            "waits_for": [],
            "tag": None,
        }

    async def test_an_explained_message_shows_its_tag(self, world: World) -> None:
        message_id = await world.submitted(tag="spring")

        assert (await world.client.get(f"/messages/{message_id}/explain")).json()["tag"] == "spring"

    async def test_a_message_in_a_full_lane_is_explained_with_the_count_before_it(self, world: World) -> None:
        ids = [await world.submitted() for _ in range(3)]

        response = await world.client.get(f"/messages/{ids[2]}/explain")

        assert (response.json()["waits_at"], response.json()["before_in_lane"]) == ("turn", 2)

    async def test_a_parked_message_is_explained_with_what_it_waits_for(self, world: World) -> None:
        target = (await world.client.post("/messages", json=HELLO)).json()["id"]
        await world.handles.hand_out(42, target, 1)
        pin = {"bot": "42", "chat_id": 7, "method": "pinChatMessage", "params": {"message_id": -1}}
        parked = (await world.client.post("/messages", json=pin)).json()["id"]

        explained = (await world.client.get(f"/messages/{parked}/explain")).json()
        state = (await world.client.get(f"/messages/{parked}")).json()

        assert (explained["waits_at"], explained["waits_for"]) == ("reference", [target])
        assert (explained["earliest_at"], state["send_at"], state["telegram_message_id"]) == (None, None, None)

    async def test_a_message_that_has_ended_is_not_explained(self, world: World) -> None:
        message_id = await world.submitted()
        await world.broker.cancel([message_id])
        await world.storage.end(message_id, Status.SENT)

        response = await world.client.get(f"/messages/{message_id}/explain")

        assert error_of(response)[:2] == (409, "conflict")

    async def test_an_unknown_message_is_not_explained(self, world: World) -> None:
        assert error_of(await world.client.get("/messages/nope/explain"))[:2] == (404, "not_found")

    async def test_nothing_is_explained_while_the_broker_is_unavailable(self, world: World) -> None:
        message_id = await world.submitted()
        world.broker.asleep = True

        response = await world.client.get(f"/messages/{message_id}/explain")

        assert error_of(response)[:2] == (503, "broker_unavailable")


class TestCancellingByTag:
    async def test_what_waits_with_the_tag_is_cancelled_and_nothing_else(self, world: World) -> None:
        spring = [await world.submitted(chat_id=chat_id, tag="spring") for chat_id in range(1, 4)]
        spring.append(await world.submitted(tag="spring", send_at=(START_MS + 60_000) / 1_000))
        others = [await world.submitted(), await world.submitted(tag="autumn")]

        response = await world.client.delete("/messages?tag=spring")

        assert (response.status_code, response.json()) == (200, {"cancelled": 4, "left": 0, "is_complete": True})
        assert {world.storage.states[each].status for each in spring} == {Status.CANCELLED}
        assert {world.storage.states[each].status for each in others} == {Status.QUEUED}
        assert [each.message.id for each in await world.leased(9)] == [others[0]]

    async def test_a_cancelled_message_says_why(self, world: World) -> None:
        message_id = await world.submitted(tag="spring")

        await world.client.delete("/messages?tag=spring")

        assert world.storage.states[message_id].reason == "everything with its tag was cancelled"

    async def test_a_message_that_is_being_sent_is_left_and_counted_as_left(self, world: World) -> None:
        sending = await world.submitted(tag="spring")
        await world.leased()
        await world.submitted(chat_id=8, tag="spring")

        response = await world.client.delete("/messages?tag=spring")

        assert response.json() == {"cancelled": 1, "left": 1, "is_complete": True}
        assert world.storage.states[sending].status is Status.QUEUED

    async def test_a_tag_that_no_message_has_cancels_nothing(self, world: World) -> None:
        await world.submitted()

        response = await world.client.delete("/messages?tag=spring")

        assert response.json() == {"cancelled": 0, "left": 0, "is_complete": True}

    @pytest.mark.parametrize("query", ["", "?tag=", f"?tag={'a' * 65}", "?tag=a%00"])
    async def test_without_a_tag_nothing_is_cancelled(self, world: World, query: str) -> None:
        message_id = await world.submitted()

        response = await world.client.delete(f"/messages{query}")

        assert error_of(response)[:2] == (422, "invalid")
        assert world.storage.states[message_id].status is Status.QUEUED

    async def test_nothing_is_cancelled_without_the_token(self, world: World) -> None:
        await world.submitted(tag="spring")

        assert (await world.anonymous.delete("/messages?tag=spring")).status_code == 401

    async def test_nothing_is_cancelled_while_the_broker_is_unavailable(self, world: World) -> None:
        message_id = await world.submitted(tag="spring")
        world.broker.asleep = True

        response = await world.client.delete("/messages?tag=spring")

        assert error_of(response)[:2] == (503, "broker_unavailable")
        assert world.storage.states[message_id].status is Status.QUEUED


async def test_a_refused_entry_of_a_batch_does_not_show_the_token_that_was_sent_in_it(world: World) -> None:
    response = await world.client.post("/messages/batch", json=[{"bot": BOT_TOKEN, "chat_id": 7, "text": "hello"}])

    assert BOT_TOKEN.partition(":")[2] not in response.text
    assert "not '42:…'" in response.text
