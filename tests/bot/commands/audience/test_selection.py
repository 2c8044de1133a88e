"""``tempogram select``, as a user types it, against a running program."""

from __future__ import annotations

import json
from pathlib import Path

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import Program, program
from tests.forked import type_in


async def select(tempogram: Program, *words: str) -> tuple[int, str, str]:
    return await type_in(tempogram.directory, ["select", "42", *words, "--url", tempogram.url])


async def test_chats_are_counted_and_listed_and_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    async with running_simulator() as telegram, program(tmp_path, telegram.url) as tempogram:
        users = [await telegram.add_user(name) for name in ("Anna", "Ben")]
        for user in users:
            await telegram.say(user, "hello", bot=42)

        async def are_known() -> bool:
            _, answer = await tempogram.call("POST", "/selections/preview", json={"bot": "42"})
            return bool(answer["selected"] == len(users))

        await tempogram.until(are_known, within_s=15)
        _, table, _ = await select(tempogram, "--active-days", "0", "--quiet-hours", "00:00-23:59")
        _, printed, _ = await select(tempogram, "--json")
        _, listed, _ = await select(tempogram, "--list")
        status, _, refused = await select(tempogram, "--zone", "Berlin")

    assert next(line.split() for line in table.splitlines() if "selected" in line)[-2] == "2"
    assert json.loads(printed)["selected"] == 2
    assert sorted(map(int, listed.split())) == sorted(users)
    assert status == 2
    assert "rules.default_zone should be an IANA time zone such as Europe/Berlin" in refused
