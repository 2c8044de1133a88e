"""``tempogram queue``, as a user types it, against a running program."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tempogram.bot.commands.explanation import REASONS
from tempogram.bot.demo.process import free_port
from tempogram.engine.ports import WaitsAt
from tempogram.simulator import Fault
from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.end_to_end.program import ADMIN_TOKEN, Program, program
from tests.forked import type_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOT_FOUND = "Bad Request: chat not found"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def telegram() -> AsyncIterator[RunningSimulator]:
    async with running_simulator() as telegram:
        yield telegram


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tempogram(telegram: RunningSimulator, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    async with program(tmp_path_factory.mktemp("program"), telegram.url) as running:
        yield running


async def queue(tempogram: Program, *words: str, answer: str = "") -> tuple[int, str, str]:
    return await type_in(tempogram.directory, ["queue", *words, "--url", tempogram.url], answer=answer)


async def given_up(telegram: RunningSimulator, tempogram: Program, count: int) -> list[str]:
    """Let messages end as dead letters, and return their ids, oldest first."""
    await telegram.order(*(Fault(kind="chat_not_found", chat_id=chat) for chat in range(1, count + 1)))
    batch = [{"bot": "42", "chat_id": chat, "text": "hello"} for chat in range(1, count + 1)]
    _, taken = await tempogram.call("POST", "/messages/batch", json=batch)
    await tempogram.until(tempogram.is_empty, within_s=20)
    await telegram.end_faults()
    return [each["id"] for each in taken]


async def test_stats_are_a_table_or_what_the_api_says(tempogram: Program) -> None:
    status, table, _ = await queue(tempogram, "stats")
    _, printed, _ = await queue(tempogram, "stats", "--json")

    assert status == 0
    assert "dead letters" in table
    assert json.loads(printed) == await tempogram.stats()


async def test_dead_letters_are_listed_replayed_and_purged(telegram: RunningSimulator, tempogram: Program) -> None:
    first, second, third = await given_up(telegram, tempogram, 3)

    _, table, _ = await queue(tempogram, "dlq", "list", "--limit", "2")
    _, printed, _ = await queue(tempogram, "dlq", "list", "--json")
    _, replayed, _ = await queue(tempogram, "dlq", "replay", first)
    refused = await queue(tempogram, "dlq", "purge", second, answer="n\n")
    _, purged, _ = await queue(tempogram, "dlq", "purge", second, answer="y\n")
    _, rest, _ = await queue(tempogram, "dlq", "purge", "--bot", "42", "--yes", "--json")
    _, empty, _ = await queue(tempogram, "dlq", "list")

    assert first in table
    assert NOT_FOUND in table
    assert third not in table
    assert "There are more" in table
    assert [each["id"] for each in json.loads(printed)["letters"]] == [first, second, third]
    assert replayed == "1 queued again\n"
    assert refused[:2] == (1, "")
    assert "Delete 1 dead letter for good?" in refused[2]
    assert purged == "1 deleted\n"
    assert json.loads(rest) == {"purged": 1}
    assert empty == "There are no dead letters.\n"


@pytest.mark.parametrize("words", [["replay"], ["replay", "--all", "--bot", "42"], ["purge", "abc", "--all"]])
async def test_a_command_without_one_choice_of_dead_letters_is_refused(tempogram: Program, words: list[str]) -> None:
    status, _, errors = await queue(tempogram, "dlq", *words)

    assert status == 2
    assert "choose dead letters by their ids" in errors


async def test_an_explanation_is_printed_in_words_or_as_json(tempogram: Program) -> None:
    message = {"bot": "42", "chat_id": 77, "text": "later", "send_at": "2099-01-01T12:00:00Z"}
    _, taken = await tempogram.call("POST", "/messages", json=message)

    status, said, _ = await queue(tempogram, "explain", taken["id"])
    _, printed, _ = await queue(tempogram, "explain", taken["id"], "--json")
    await tempogram.call("PATCH", "/bots/42", json={"paused": True})
    _, paused, _ = await queue(tempogram, "explain", taken["id"])
    await tempogram.call("PATCH", "/bots/42", json={"paused": False})
    await tempogram.call("DELETE", f"/messages/{taken['id']}")

    assert status == 0
    assert said.splitlines()[:2] == [
        "It waits because it is scheduled for a later time (scheduled).",
        "Nothing of its bot and priority goes before it.",
    ]
    assert "It goes at 2099-01-0" in said
    assert json.loads(printed)["id"] == taken["id"]
    assert json.loads(printed)["earliest_at"].startswith("2099-01-01T12:00:00")
    assert "It goes some time after its bot is resumed" in paused


async def test_what_waits_with_a_tag_is_cancelled_by_one_command(tempogram: Program) -> None:
    later = {"bot": "42", "text": "later", "send_at": "2099-01-01T12:00:00Z"}
    spring = [{**later, "chat_id": chat_id, "tag": "spring sale"} for chat_id in range(1, 4)]
    _, taken = await tempogram.call("POST", "/messages/batch", json=[*spring, {**later, "chat_id": 5}])

    status, said, _ = await queue(tempogram, "cancel", "--tag", "spring sale")
    _, printed, _ = await queue(tempogram, "cancel", "--tag", "spring sale", "--json")
    refused = await queue(tempogram, "cancel", "--tag", "")
    states = [(await tempogram.call("GET", f"/messages/{each['id']}"))[1]["status"] for each in taken]
    await tempogram.call("DELETE", f"/messages/{taken[-1]['id']}")

    assert (status, said) == (0, "3 cancelled\n")
    assert json.loads(printed) == {"cancelled": 0, "left": 0}
    assert (refused[0], "tag should have 1 to 64 printable characters" in refused[2]) == (2, True)
    assert states == ["cancelled", "cancelled", "cancelled", "queued"]


async def test_dead_letters_of_a_tag_are_listed_without_the_others(
    telegram: RunningSimulator, tempogram: Program
) -> None:
    await given_up(telegram, tempogram, 1)
    await telegram.order(Fault(kind="chat_not_found", chat_id=9))
    await tempogram.call("POST", "/messages", json={"bot": "42", "chat_id": 9, "text": "hello", "tag": "spring"})
    await tempogram.until(tempogram.is_empty, within_s=20)
    await telegram.end_faults()

    _, printed, _ = await queue(tempogram, "dlq", "list", "--tag", "spring", "--json")
    _, table, _ = await queue(tempogram, "dlq", "list")
    await queue(tempogram, "dlq", "purge", "--all", "--yes")

    assert [each["tag"] for each in json.loads(printed)["letters"]] == ["spring"]
    assert "spring" in table


async def test_explaining_a_message_that_does_not_wait_ends_in_one_sentence(tempogram: Program) -> None:
    _, sent = await tempogram.call("POST", "/messages", json={"bot": "42", "chat_id": 78, "text": "now"})
    await tempogram.until(tempogram.is_empty, within_s=20)

    settled = await queue(tempogram, "explain", sent["id"])
    unknown = await queue(tempogram, "explain", "0" * len(sent["id"]))
    nonsense = await queue(tempogram, "explain", "no such id!")
    elsewhere = await queue(tempogram, "explain", "../bots?x#")

    assert f"refused: message {sent['id']} has ended as sent, so there is nothing to explain" in settled[2]
    assert "refused: there is no message '000" in unknown[2]
    assert "refused: message_id " in nonsense[2]
    for status, said, errors in (settled, unknown, nonsense, elsewhere):
        assert (status, said, len(errors.splitlines())) == (2, "", 1)


async def test_every_reason_to_wait_has_its_words() -> None:
    assert set(REASONS) == set(WaitsAt)


async def test_a_refusal_of_the_api_is_printed_in_its_own_words(tempogram: Program) -> None:
    status, _, errors = await queue(tempogram, "dlq", "replay", "no such id!")

    assert status == 2
    assert errors.startswith(f"tempogram: {tempogram.url} refused: ids.0 ")
    assert len(errors.splitlines()) == 1


async def test_a_wrong_token_and_a_wrong_address_end_in_one_sentence(tempogram: Program, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"

    wrong_token = await type_in(
        tmp_path, ["queue", "stats", "--url", tempogram.url], ADMIN_TOKEN="nonsense-but-long-enough"
    )
    wrong_url = await type_in(tmp_path, ["queue", "stats", "--url", nowhere])
    no_token = await type_in(tmp_path, ["queue", "stats"], ADMIN_TOKEN="")

    assert "refused this token" in wrong_token[2]
    assert f"nothing answers at {nowhere}" in wrong_url[2]
    assert "ADMIN_TOKEN is not set, and data/simulated/admin_token cannot be read" in no_token[2]
    assert [each[0] for each in (wrong_token, wrong_url, no_token)] == [2, 2, 2]
    assert [len(each[2].splitlines()) for each in (wrong_token, wrong_url, no_token)] == [1, 1, 1]


async def test_the_address_and_the_token_are_those_of_the_program_that_the_settings_start(tempogram: Program) -> None:
    settings = {"PORT": str(tempogram.port), "DATA_DIR": str(tempogram.directory / "data"), "ADMIN_TOKEN": ""}
    directory = tempogram.directory / "data"
    (directory / "admin_token").write_text(ADMIN_TOKEN + "\n")

    status, printed, errors = await type_in(
        tempogram.directory, ["queue", "stats", "--json"], **settings | {"BOT_TOKENS": "42:token-of-the-test-bot"}
    )

    assert (status, errors) == (0, "")
    assert json.loads(printed) == await tempogram.stats()
