"""Everything that can be ordered to go wrong."""

import asyncio
import math
import random
from typing import Any, Literal

import aiohttp
import pytest

from tempogram.simulator import Fault
from tempogram.simulator.limits.faults import Kind
from tests.simulator.conftest import HANGS_S, Client

CHAT = -5


def sent(client: Client) -> int:
    return client.simulator.report().accepted


async def test_a_rule_matches_as_many_calls_as_it_says(client: Client) -> None:
    client.simulator.order(Fault(kind="5xx", status=502, times=2))

    codes = [(await client.send(CHAT)).get("error_code") for _ in range(3)]

    assert codes == [502, 502, None]


async def test_rules_of_one_chat_are_used_in_the_order_in_which_they_came(client: Client) -> None:
    for fault in (
        Fault(kind="5xx", chat_id=CHAT, times=1),
        Fault(kind="reset_before", chat_id=CHAT, times=1),
        Fault(kind="429", chat_id=CHAT, times=1, retry_after_s=9),
    ):
        client.simulator.order(fault)

    assert (await client.send(CHAT))["error_code"] == 500
    with pytest.raises((aiohttp.ClientConnectionError, ConnectionResetError)):
        await client.send(CHAT)
    assert (await client.send(CHAT))["parameters"] == {"retry_after": 9}
    assert (await client.send(CHAT - 1))["ok"]


async def test_a_rule_matches_its_bot_chat_and_method_only(client: Client) -> None:
    client.simulator.order(Fault(kind="5xx", bot_id=100, chat_id=CHAT, method="sendmessage"))

    assert (await client.send(CHAT))["error_code"] == 500
    assert (await client.send(CHAT - 1))["ok"]
    assert (await client.call("sendDice", chat_id=CHAT))["ok"]
    client.token = "200:abc"
    assert (await client.send(CHAT))["ok"]


async def test_a_rule_without_a_method_leaves_polling_alone(client: Client) -> None:
    client.simulator.order(Fault(kind="5xx"))

    assert (await client.call("getUpdates"))["ok"]
    assert (await client.send(CHAT))["error_code"] == 500


async def test_a_rule_with_a_duration_ends_by_itself(client: Client) -> None:
    client.simulator.order(Fault(kind="5xx", for_ms=1))
    await asyncio.sleep(0.002)

    assert (await client.send(CHAT))["ok"]


async def test_a_429_holds_its_chat_until_the_deadline(client: Client) -> None:
    client.simulator.order(Fault(kind="429", chat_id=CHAT, times=1, retry_after_s=60))

    answers = [await client.send(chat) for chat in (CHAT, CHAT, CHAT - 1)]

    assert [answer.get("error_code") for answer in answers] == [429, 429, None]
    assert client.simulator.report().throttled == {"ordered": 2}
    assert client.simulator.report().broke_no_window


async def test_a_429_may_hold_the_whole_bot(client: Client) -> None:
    client.simulator.order(Fault(kind="429", hold="bot", times=1, retry_after_s=60))

    answers = [await client.send(chat) for chat in (CHAT, CHAT - 1)]

    assert [answer.get("error_code") for answer in answers] == [429, 429]


async def test_a_429_may_hide_in_a_400(client: Client) -> None:
    client.simulator.order(Fault(kind="400_429", times=1, retry_after_s=8))

    answer = await client.send(CHAT)

    assert answer["error_code"] == 400
    assert answer["description"] == (
        'Bad Request: failed to send message #1 with the error message "Too Many Requests: retry after 8"'
    )


@pytest.mark.parametrize(("kind", "effects"), [("reset_before", 0), ("reset_after", 1)])
async def test_a_connection_is_reset_before_or_after_the_call_has_its_effect(
    client: Client, kind: Kind, effects: int
) -> None:
    client.simulator.order(Fault(kind=kind, times=1))

    with pytest.raises((aiohttp.ClientConnectionError, ConnectionResetError)):
        await client.send(CHAT)

    assert sent(client) == effects
    assert client.simulator.report().lost == {kind: 1}


@pytest.mark.parametrize("processed", [False, True])
async def test_a_hanging_call_is_never_answered(client: Client, *, processed: bool) -> None:
    client.simulator.order(Fault(kind="hang", processed=processed, times=1))

    calling = asyncio.create_task(client.send(CHAT))
    async with asyncio.timeout(HANGS_S):
        while not client.simulator.report().lost:  # noqa: ASYNC110 - nothing announces a lost call
            await asyncio.sleep(0.001)
    done, _ = await asyncio.wait([calling], timeout=0.1)
    calling.cancel()

    assert not done
    assert sent(client) == int(processed)
    assert client.simulator.report().lost == {"hang": 1}


@pytest.mark.parametrize("where", ["in", "out", "middle", "both"])
async def test_latency_delays_and_does_not_change_the_answer(
    client: Client, where: Literal["in", "out", "middle", "both"]
) -> None:
    client.simulator.order(Fault(kind="latency", delay_ms=1, jitter_ms=1, where=where))
    client.simulator.order(Fault(kind="5xx", times=1))

    codes = [(await client.send(CHAT)).get("error_code") for _ in range(2)]

    assert codes == [500, None]


def test_a_call_is_counted_where_its_latency_says() -> None:
    ways = [Fault(kind="latency", delay_ms=40, where=where).ways_ms() for where in ("in", "out", "middle", "both")]

    assert ways == [(40, 0), (0, 40), (20, 20), (40, 40)]


def test_a_latency_with_a_deviation_is_as_often_shorter_as_longer_and_never_nothing() -> None:
    random.seed(1)
    fault = Fault(kind="latency", delay_ms=40, sigma=0.35)

    drawn_ms = sorted(fault.ways_ms()[0] for _ in range(1_001))

    assert 38 < drawn_ms[500] < 42  # the median
    assert 0.32 < math.log(drawn_ms[841] / drawn_ms[500]) < 0.38  # one deviation above it
    assert drawn_ms[0] > 0


def test_a_latency_with_a_negative_deviation_is_refused() -> None:
    with pytest.raises(ValueError, match="sigma"):
        Fault(kind="latency", delay_ms=40, sigma=-0.1)


@pytest.mark.parametrize(
    ("kind", "code", "description"),
    [
        ("blocked", 403, "Forbidden: bot was blocked by the user"),
        ("kicked", 403, "Forbidden: bot was kicked from the group chat"),
        ("deactivated", 403, "Forbidden: user is deactivated"),
        ("chat_not_found", 400, "Bad Request: chat not found"),
        ("revoked", 401, "Unauthorized"),
    ],
)
async def test_a_lasting_refusal_has_telegrams_error_text(
    client: Client, kind: Kind, code: int, description: str
) -> None:
    client.simulator.order(Fault(kind=kind))

    answer = await client.send(CHAT)

    assert (answer["error_code"], answer["description"]) == (code, description)


async def test_a_message_that_the_chat_removes_at_once_takes_its_place_and_is_not_shown(client: Client) -> None:
    client.simulator.order(Fault(kind="removed", times=1))

    answer = await client.send(CHAT)

    assert (answer["error_code"], answer["description"]) == (
        500,
        "Internal Server Error: sent message was immediately deleted",
    )
    assert list(client.simulator.telegram.world.messages.of_chat(CHAT)) == []
    assert [call["cost"] for call in client.simulator.telegram.record.calls(since=0, limit=10)] == [1]


async def test_a_revoked_token_is_refused_even_getme(client: Client) -> None:
    client.simulator.order(Fault(kind="revoked", bot_id=100))

    assert (await client.call("getMe"))["error_code"] == 401


async def test_a_group_that_migrated_stays_migrated_and_its_new_id_works(client: Client) -> None:
    client.simulator.order(Fault(kind="migrated", chat_id=CHAT, to_chat_id=-1_000_000_000_500, times=1))

    first, second = await client.send(CHAT), await client.send(CHAT)

    assert first["description"] == "Bad Request: group chat was upgraded to a supergroup chat"
    assert first["parameters"] == second["parameters"] == {"migrate_to_chat_id": -1_000_000_000_500}
    assert (await client.send(-1_000_000_000_500))["result"]["chat"]["type"] == "supergroup"


async def test_a_fault_with_a_share_strikes_some_calls(client: Client) -> None:
    client.change(bot_limit=0, private_limit=0)
    client.simulator.order(Fault(kind="5xx", share=0.5))

    codes = {(await client.send(7)).get("error_code") for _ in range(60)}

    assert codes == {500, None}


@pytest.mark.parametrize(
    "wrong",
    [{"times": 0}, {"share": 0.0}, {"delay_ms": -1}, {"for_ms": 0}, {"kind": "migrated"}],
)
def test_a_fault_that_could_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Fault(**({"kind": "5xx"} | wrong))
