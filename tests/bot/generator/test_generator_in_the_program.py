"""The whole program with a model's server, and with a module of one's own that wants to know of start and end."""

from __future__ import annotations

from pathlib import Path

from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.bot.generator.conftest import KEY, Model, completion
from tests.end_to_end.program import TOKEN, Program, program, update

OWN = """
from pathlib import Path
from aiogram import Router

router = Router()

@router.startup()
async def start(bots, dispatcher):
    Path("started").write_text(str([bot.id for bot in bots]))

@router.shutdown()
async def end(bot):
    Path("ended").write_text(str(bot.id))
    raise ValueError("it does not matter")
"""


async def test_a_model_answers_and_a_template_does_while_it_fails(tmp_path: Path, model: Model) -> None:
    settings = {"LLM_API_URL": model.url, "LLM_API_KEY": KEY, "LLM_MODEL": "small"}
    replies = {"behaviours": {"replies": {"private": True, "templates": ["One moment."]}}}

    async with running_simulator() as telegram, program(tmp_path, telegram.url, **settings) as tempogram:
        await tempogram.call("PATCH", "/bots/42", json=replies)
        await hear(tempogram, 1, "how much?")
        await tempogram.until(lambda: has_said(telegram, "Seven euros."), within_s=20)
        model.status = 500
        await hear(tempogram, 2, "with cheese?")
        await tempogram.until(lambda: has_said(telegram, "One moment."), within_s=20)
        model.status, model.body = 200, completion("Eight.")
        await hear(tempogram, 3, "and now?")
        await tempogram.until(lambda: has_said(telegram, "Eight."), within_s=20)
        typing = [call for call in await telegram.calls() if call["method"].lower() == "sendchataction"]

    assert [utterance["content"] for utterance in model.asked[-1]["messages"]] == [
        *("how much?", "Seven euros."),
        *("with cheese?", "One moment."),
        "and now?",
    ]
    output = tempogram.output.read_text()
    assert output.count("generator_failed") == 1
    assert KEY not in output
    assert len(typing) >= 1


async def test_a_users_module_is_notified_of_start_and_end(tmp_path: Path) -> None:
    (tmp_path / "my_shop.py").write_text(OWN)

    async with running_simulator() as telegram, program(tmp_path, telegram.url, BEHAVIOURS="my_shop") as tempogram:
        started = (tmp_path / "started").read_text()
        status = await tempogram.end()

    assert (status, started) == (0, "[42]")
    assert (tmp_path / "ended").read_text() == "42"


async def hear(tempogram: Program, number: int, text: str) -> None:
    status, _ = await tempogram.call("POST", f"/webhook/telegram/{TOKEN}", json=update(number, text))
    assert status == 200


async def has_said(telegram: RunningSimulator, text: str) -> bool:
    return any(call["text"] == text for call in await telegram.calls())
