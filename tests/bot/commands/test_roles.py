from __future__ import annotations

import asyncio
import contextlib

import pytest
from structlog.testing import capture_logs

from tempogram.bot.commands import roles
from tempogram.bot.commands.roles import until_done


def test_a_program_ends_though_a_task_ignores_its_cancellation_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "LEFT_OVER_S", 0.1)
    goes_on = True

    async def impolite() -> None:
        while goes_on:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def work() -> str:
        kept.append(asyncio.create_task(impolite(), name="task impolite"))
        await asyncio.sleep(0)
        return "done"

    kept: list[asyncio.Task[None]] = []
    with capture_logs() as logs:
        assert until_done(work()) == "done"

    assert [(log["event"], log["tasks"]) for log in logs] == [("end_not_waited_for", ["task impolite"])]
    goes_on = False
    loop = kept[0].get_loop()
    loop.run_until_complete(kept[0])
    loop.close()


def test_a_program_cancels_at_its_end_what_it_has_begun() -> None:
    ended: list[str] = []

    async def polite() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("polite")

    async def work() -> None:
        begun.append(asyncio.create_task(polite()))
        await asyncio.sleep(0)
        raise ValueError("no")

    begun: list[asyncio.Task[None]] = []
    with pytest.raises(ValueError, match="no"):
        until_done(work())

    assert ended == ["polite"]
    assert begun[0].get_loop().is_closed()
