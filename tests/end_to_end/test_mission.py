"""The mission's manual test: curl, 100 times, 10 ms apart, as ``docs/operations.md`` writes its commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tempogram.simulator.client import running_simulator
from tests import ROOT
from tests.end_to_end.documented import Shell, commands_in, is_as_documented
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN, Program, program

BY_HAND = (ROOT / "docs" / "operations.md").read_text().partition("\n## Trying it by hand\n")[2].partition("\n## ")[0]
LOOP = "for i in"


@pytest.mark.skipif(shutil.which("curl") is None, reason="NO curl on this machine: the mission's own test is not run")
async def test_a_hundred_updates_of_one_group_are_answered_no_faster_than_allowed(tmp_path: Path) -> None:
    async with (
        running_simulator() as telegram,
        program(tmp_path, telegram.url, PUBLIC_URL="https://bots.example.org") as tempogram,
        Shell(tmp_path, {}) as shell,
    ):
        await tempogram.until(lambda: has_secret(tempogram), within_s=10)
        for command in commands_in(BY_HAND):
            if "| jq" in command.text and shutil.which("jq") is None:
                continue
            printed = await shell.run(here(command.text, tempogram))
            assert is_as_documented(printed, command.printed), f"{command.text}\nprinted\n{printed}"
            if command.text.startswith(LOOP):
                assert printed.count('{"ok":true}') == 100
                await tempogram.until(lambda: waiting(tempogram, 80), within_s=30)
        without_secret, _ = await tempogram.call("POST", f"/webhook/telegram/{TOKEN}", json={"update_id": 101})
        report = await telegram.report()

    assert without_secret == 403
    assert report.accepted == 20
    assert report.broke_no_window
    assert report.out_of_order == 0
    assert "webhook_secret_shown" in tempogram.output.read_text()


def here(text: str, tempogram: Program) -> str:
    """Return a command with our address and our bot; progress of curl is no part of what it prints."""
    text = text.replace("http://127.0.0.1:8000", tempogram.url).replace("ADMIN_TOKEN=…", f"ADMIN_TOKEN={ADMIN_TOKEN}")
    return text.replace("123456:ABC-DEF", TOKEN).replace("bots/123456", "bots/42").replace("curl -H", "curl -s -H")


async def has_secret(tempogram: Program) -> bool:
    status, _ = await tempogram.call("GET", "/bots/42/webhook-secret")
    return status == 200


async def waiting(tempogram: Program, messages: int) -> bool:
    return bool((await tempogram.stats())["stats"]["normal"] == messages)
