"""The verbs of the schedule as Redis runs them: one file for each in ``lua/``, and what they share before it.

Shared files are prepended, so any Redis since 6.2 runs them: libraries came with 7.0. (But one of 6.2 may bring scripts
back from a snapshot, and then nobody notices that it was started anew; see docs/decisions/0012.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path

FOLDER = Path(__file__).parent / "lua"
SHARED = ("keys", "windows", "fair_queue", "records", "queue")
"""In ``lua/shared``; each knows those before it, and every verb needs them."""

ENDS = dict.fromkeys(("settle", "hold", "migrate", "restore"), "settlements")
BESIDE = {**dict.fromkeys(("admit", "lease", "recover"), "leases"), **ENDS}
"""What some verbs need beside them. To define a function takes a call as long as to run it, so none has both."""


@dataclass(frozen=True, slots=True)
class Script:
    """One verb, and the name under which Redis remembers it."""

    text: str
    sha: str


@cache
def scripts() -> Mapping[str, Script]:
    """Read every verb, by its name."""
    return {path.stem: _script(path) for path in FOLDER.glob("*.lua")}


def _script(path: Path) -> Script:
    beside = (BESIDE[path.stem],) if path.stem in BESIDE else ()
    files = *(FOLDER / "shared" / f"{name}.lua" for name in (*SHARED, *beside)), path
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())
