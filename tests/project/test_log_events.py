"""The table of log events is the code's: alerts hang on these names."""

from __future__ import annotations

import ast
import re

from tests import ROOT
from tests.project.sources import modules
from tests.project.test_words import log_calls

ROW = re.compile(r"^\| `(?P<event>\w+)` \| (?P<level>\w+) \|", re.MULTILINE)


def test_the_table_names_every_event_of_the_code_with_its_level() -> None:
    table = {(row["event"], row["level"]) for row in ROW.finditer((ROOT / "docs" / "log-events.md").read_text())}

    assert table == {event for path in modules() for event in events_of(path.read_text())}


def events_of(source: str) -> set[tuple[str, str]]:
    """Return the events that a file logs, with their levels; ``exception`` is an error with a traceback.

    >>> events_of('log.exception("lost")'), events_of('every(1, work, failed="failed")')
    ({('lost', 'error')}, {('failed', 'error')})
    """
    logged = {
        (str(call.args[0].value), call.func.attr.replace("exception", "error"))
        for call in log_calls(source)
        if isinstance(call.func, ast.Attribute) and isinstance(call.args[0], ast.Constant)
    }
    return logged | {(name, "error") for name in re.findall(r'failed="(\w+)"', source)}
