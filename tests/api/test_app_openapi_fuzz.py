"""The API does what its description says: Schemathesis makes requests from it, right ones and wrong ones.

Which of its checks cannot hold here, and why, stands in ``schemathesis.toml``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import ADMIN_TOKEN, Program, program

CONFIG = Path(__file__).with_name("schemathesis.toml")

SECONDS_MAX = 10
EXAMPLES = 15  # of each route and kind; 60 of them found no more


async def test_every_route_answers_as_the_openapi_description_says(tmp_path: Path) -> None:
    async with running_simulator() as telegram, program(tmp_path, telegram.url, LOG_LEVEL="WARNING") as tempogram:
        _, description = await tempogram.call("GET", "/openapi.json")
        status, said = await fuzz(tempogram, with_the_bot_that_runs(description))
        _, health = await tempogram.call("GET", "/health")

    assert status == 0, said
    assert health == {"status": "up", "conditions": []}
    assert "unhandled_error" not in tempogram.output.read_text()


def with_the_bot_that_runs(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description for this one bot, so that messages are accepted and not only refused."""
    schemas = description["components"]["schemas"]
    schemas["MessageIn"]["properties"]["bot"] = {"enum": ["42", 42]}
    return description


async def fuzz(tempogram: Program, description: dict[str, Any]) -> tuple[int, str]:
    """Run Schemathesis, and return its status and its report."""
    file = tempogram.directory / "openapi.json"
    file.write_text(json.dumps(description))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(CONFIG), "run", str(file), "--url", tempogram.url),
        *("--header", f"Authorization: Bearer {ADMIN_TOKEN}", "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES), "--max-time", str(SECONDS_MAX), "--seed", "1", "--no-color"),
        cwd=tempogram.directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await process.communicate()
    return process.returncode or 0, report.decode()
