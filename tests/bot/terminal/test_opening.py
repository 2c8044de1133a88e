"""What a process shows is chosen by the setting, and by whether it runs on a terminal."""

from __future__ import annotations

import sys

import pytest

from tempogram.bot.config.logging import LogFormat
from tempogram.bot.terminal.opening import chosen_format


@pytest.mark.parametrize(
    ("chosen", "terminals", "kind", "shown"),
    [
        (LogFormat.AUTO, (True, True), "xterm", LogFormat.CONVERSATION),
        (LogFormat.AUTO, (True, False), "xterm", LogFormat.AUTO),
        (LogFormat.AUTO, (False, True), "xterm", LogFormat.AUTO),
        (LogFormat.AUTO, (True, True), "dumb", LogFormat.AUTO),
        (LogFormat.JSON, (True, True), "xterm", LogFormat.JSON),
        (LogFormat.CONSOLE, (True, True), "xterm", LogFormat.CONSOLE),
        (LogFormat.CONVERSATION, (False, False), "xterm", LogFormat.CONVERSATION),
    ],
)
def test_the_conversation_is_shown_on_a_terminal_unless_another_format_is_chosen(
    monkeypatch: pytest.MonkeyPatch, chosen: LogFormat, terminals: tuple[bool, bool], kind: str, shown: LogFormat
) -> None:
    monkeypatch.setenv("TERM", kind)
    for stream, is_terminal in zip((sys.stdout, sys.stderr), terminals, strict=True):
        monkeypatch.setattr(stream, "isatty", lambda is_terminal=is_terminal: is_terminal)

    assert chosen_format(chosen) is shown
