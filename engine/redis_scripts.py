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
SHARED = ("keys", "gates", "turns", "records", "schedule", "leases")
"""In ``lua/shared``; each knows those before it."""


@dataclass(frozen=True, slots=True)
class Script:
    """One verb, and the name under which Redis remembers it."""

    text: str
    sha: str


@cache
def scripts() -> Mapping[str, Script]:
    """Read every verb, by its name."""
    shared = "\n".join((FOLDER / "shared" / f"{name}.lua").read_text(encoding="utf-8") for name in SHARED)
    return {path.stem: _script(f"{shared}\n{path.read_text(encoding='utf-8')}") for path in FOLDER.glob("*.lua")}


def _script(text: str) -> Script:
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())
