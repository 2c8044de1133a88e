"""The type check knows which ``replace`` is for which class."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import ROOT

PROGRAM = """
import dataclasses
import msgspec


class Struct(msgspec.Struct):
    a: int

@dataclasses.dataclass
class Dataclass:
    a: int

def change(struct: Struct, data: Dataclass, either: Struct | Dataclass) -> None:
    dataclasses.replace(data, a=1)
    msgspec.structs.replace(struct, a=1)
    dataclasses.replace(struct, a=1)  # refused
    dataclasses.replace(either, a=1)  # refused
"""


def test_dataclasses_replace_is_refused_for_a_struct_and_for_nothing_else(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    checked = subprocess.run(
        [sys.executable, "-m", "mypy", str(program)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    refused = [int(line.split(":")[1]) for line in checked.stdout.splitlines() if "msgspec.structs.replace" in line]
    assert refused == [
        number for number, line in enumerate(PROGRAM.splitlines(), start=1) if line.endswith("# refused")
    ]
    assert "Found 2 errors" in checked.stdout
