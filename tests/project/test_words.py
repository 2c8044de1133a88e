"""Words that are gone, and the form of log events: what a reader had to read twice does not come back."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests import ROOT
from tests.project.sources import modules, tracked_files

GONE = {
    r"whoever": "the process, caller, worker or bot",
    r"""(?<!["'@])(?:no|some|any)body(?:'s)?(?!["'])""": "the noun that is meant, or no process, no caller, none",
    r"heed(?:s|ed|ing)?": "apply",
    r"insist(?:s|ed|ing)?": "retry",
    r"glimpses?": "observe",
    r"len[dt](?:s|ing)?": "borrow, pass",
    r"(?:a|the|best|rough) guess|guessed\w*|guesswork": "untuned:, with why it hardly matters",
    r"books?": "database, ledger or storage, whichever it is",
    r"he|him|his|himself": "it",
    r"""(?<!["'])keepers?(?!["'])""": "leader",
    r"rosters?": "registry",
    r"luggage": "upload",
    r"outbox": "batcher; the transactional outbox is the ledger",
    r"(?<!webhook )told": "the verb that is meant: answered, announced, configured; a value has a name",
    r"who leads": "the leader",
    r"what is open": "open messages",
}
"""Each with what is said instead. A word in quotes may be data: "keeper" stands in a column of the database.
``webhook_told`` is another column. That passwords are tried out is *guessing*, as everyone says. *Who* is missing: a
person is one, such as the user who blocked a bot; that a process is none, a pattern cannot see."""

WORD = re.compile(rf"\b(?:{'|'.join(f'({word})' for word in GONE)})\b", re.IGNORECASE)

HUMP = re.compile(r"_|(?<=[a-z0-9])(?=[A-Z])")
"""Between two words of a name: ``settle_all``, ``SettleAll``."""

OPEN = {"migrations/versions"}
"""What was released is not changed."""

LATER = {"CHANGELOG.md", "README.md", "test_words.py"}
"""Rewritten by themselves; a changelog stays what it was; and this file lists the words."""

EVENT = re.compile(r"[a-z][a-z0-9_]*")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
NO_LOGS = {"body", "listening", "pipe", "redis", "self._nap", "task"}
"""Tasks and bodies have an ``exception`` of their own, Redis an ``info``; all else with a level's method is a log."""


def prose() -> list[Path]:
    return [
        path
        for path in tracked_files()
        if (path.suffix in {".py", ".lua", ".md", ".toml", ".yml"} or path.name in {"Dockerfile", "Makefile"})
        and path.name not in LATER
        and not any(part in str(path) for part in OPEN)
    ]


def test_words_that_are_gone_stay_away() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word[0]!r}, say: {list(GONE.values())[(word.lastindex or 1) - 1]}"
        for path in prose()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for word in WORD.finditer(HUMP.sub(" ", line))
    ]

    assert found == []


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("Whoever waits", "whoever"),
        ("nobody's", "nobody's"),
        ("def test_somebody_waits", "somebody"),
        ("class WaitsForAnybody:", "anybody"),
        ("class GuessedSize:", "guessed"),
        ("a guess: it hardly matters", "a guess"),
        ("mimetypes.guess_type(name)", None),
        ("the guessing of passwords", None),
        ("when told so", "told"),
        ("row.webhook_told", None),
        ("he settles for the shelf", "he"),
        ('source = "keeper"', None),
        ("the handbook's bookkeeping is his", "his"),
    ],
)
def test_a_word_is_found_as_a_whole_word_only(sentence: str, word: str | None) -> None:
    found = WORD.search(HUMP.sub(" ", sentence))

    assert (found[0].lower() if found else None) == word


def test_log_events_are_names() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call.args[0]) if call.args else 'no event'}"
        for path in modules()
        for call in log_calls(path.read_text())
        if not is_event(call)
    ]

    assert found == []


def log_calls(source: str) -> list[ast.Call]:
    r"""Return the calls that log.

    >>> [call.lineno for call in log_calls("log.info('a')\nself._logger.error('b')\ntask.exception()")]
    [1, 2]
    """
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and ast.unparse(node.func.value) not in NO_LOGS
    ]


def is_event(call: ast.Call) -> bool:
    match call.args:
        case [ast.Constant(value=str(event))]:
            return EVENT.fullmatch(event) is not None
        case [ast.Name("failed")]:  # a parameter of ``retry.every``
            return True
        case _:
            return False


def test_events_that_are_passed_on_are_names() -> None:
    passed_on = [
        ast.unparse(word.value)
        for path in modules()
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "every"
        for word in call.keywords
        if word.arg == "failed"
    ]

    assert passed_on
    assert [event for event in passed_on if not EVENT.fullmatch(event.strip("'"))] == []
