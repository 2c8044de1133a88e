"""An ordinary aiogram bot, ``examples/pizza.py``, runs without a change: states, a keyboard, a middleware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.end_to_end.program import TOKEN, Program, program

ANNA = {"id": 77, "is_bot": False, "first_name": "Anna"}
CHAT = {"id": 77, "type": "private", "first_name": "Anna"}


async def test_an_ordinary_aiogram_bot_runs_unchanged(tmp_path: Path) -> None:
    async with (
        running_simulator(accept_any_message=True) as telegram,  # the pressed button is ours, not the simulator's
        program(tmp_path, telegram.url, BEHAVIOURS="examples.pizza") as tempogram,
    ):
        await deliver(tempogram, 1, message={"text": "/pizza", "entities": [command("/pizza")]})
        await said(telegram, tempogram, "Welcome! What shall be on it?")
        await deliver(tempogram, 2, message={"text": "mushrooms"})
        question = await said(telegram, tempogram, "Which size?")
        await deliver(tempogram, 3, callback_query=pressed(question, "large"))
        await said(telegram, tempogram, "One large pizza with mushrooms.")
        await deliver(tempogram, 4, message={"text": "/pizza", "entities": [command("/pizza")]})
        await said(telegram, tempogram, "Again! What shall be on it?")
        calls = await telegram.calls()

    methods = [call["method"] for call in calls if call["method"] not in {"getMe", "getUpdates"}]
    assert methods == ["sendMessage", "sendMessage", "answerCallbackQuery", "editMessageText", "sendMessage"]
    assert "Traceback" not in tempogram.output.read_text()


async def test_a_missing_module_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    broken = Program(tmp_path, BEHAVIOURS="my_shop")

    process = await broken.spawn()
    status = await process.wait()
    await broken.session.close()

    (line,) = broken.output.read_text().splitlines()
    assert status == 2
    assert line.startswith("tempogram: BEHAVIOURS names 'my_shop', but there is no such module in ")


async def deliver(tempogram: Program, number: int, **event: dict[str, Any]) -> None:
    ((kind, content),) = event.items()
    usual = {"message_id": number, "date": 1, "chat": CHAT, "from": ANNA} if kind == "message" else {}
    update = {"update_id": number, kind: usual | content}
    status, _ = await tempogram.call("POST", f"/webhook/telegram/{TOKEN}", json=update)
    assert status == 200


async def said(telegram: RunningSimulator, tempogram: Program, text: str) -> dict[str, Any]:
    """Wait until the bot has said it, and return the call."""
    found: list[dict[str, Any]] = []

    async def is_said() -> bool:
        found[:] = [call for call in await telegram.calls() if call["text"] == text]
        return bool(found)

    await tempogram.until(is_said, within_s=20)
    return found[0]


def command(text: str) -> dict[str, Any]:
    return {"type": "bot_command", "offset": 0, "length": len(text)}


def pressed(question: dict[str, Any], data: str) -> dict[str, Any]:
    bot = {"id": 42, "is_bot": True, "first_name": "Bot"}
    message = {"message_id": question["message_id"], "date": 1, "chat": CHAT, "from": bot, "text": question["text"]}
    return {"id": "1", "from": ANNA, "chat_instance": "x", "data": data, "message": message}
