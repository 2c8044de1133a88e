"""The engine as a process that others start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tempogram.bot.demo.process import EngineProcess, ProcessFailed


async def test_an_engine_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    engine = EngineProcess("http://127.0.0.1:1", tmp_path, ["nonsense"], words=tmp_path / "words")

    with pytest.raises(ProcessFailed, match="the engine ended by itself, with status 2: tempogram: BOT_TOKENS"):
        await engine.start()

    await engine.close()
