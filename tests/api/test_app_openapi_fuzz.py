"""The API does what its description says: Schemathesis makes requests from it, right ones and wrong ones.

Which of its checks cannot hold here, and why, stands in ``schemathesis.toml``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tempogram.simulator.client import running_simulator
from tests import ROOT
from tests.end_to_end.program import ADMIN_TOKEN, ECHO, TOKEN, Program, program

CONFIG = Path(__file__).with_name("schemathesis.toml")

SECONDS_MAX = {"admin": 6, "operator": 2, "viewer": 2, "a token of one bot": 2, "a browser": 2}
"""How long each caller makes requests. 60 s of each found a number with a point that was refused, and no 5xx."""

OPERATOR_TOKEN = "operator-horse-battery-staple"
VIEWER_TOKEN = "viewer-horse-battery-staple"

WAITING = {"bot": "42", "chat_id": 5, "text": "later", "tag": "spring", "send_at": "2099-01-01T00:00:00Z"}
"""A message to show, explain and cancel."""

SERVICE = {"name": "twilio", "operation": "sms"}

ANY = {"default": {"description": "As Telegram answers.", "content": {"application/json": {}}}}

DOOR_CALL = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["chat_id", "text"],
                    "properties": {"chat_id": {"type": "integer"}, "text": {"type": "string", "minLength": 1}},
                }
            }
        },
    },
    "responses": ANY,
}
EXAMPLES = 15  # of each route and kind; 60 of them found no more


async def test_every_route_answers_as_the_openapi_description_says(tmp_path: Path) -> None:
    environment = {
        "LOG_LEVEL": "WARNING",
        "OPERATOR_TOKEN": OPERATOR_TOKEN,
        "VIEWER_TOKEN": VIEWER_TOKEN,
        "BOT_API_DOOR": "true",
        "BEHAVIOURS": f"{ECHO},examples.prices",
        "SERVICES_FILE": str(ROOT / "examples/prices.toml"),
    }
    async with running_simulator() as telegram, program(tmp_path, telegram.url, **environment) as tempogram:
        _, description = await tempogram.call("GET", "/openapi.json")
        _, waiting = await tempogram.call("POST", "/messages", json=WAITING)
        description = with_what_there_is(description, waiting["id"])
        refused = {}
        for caller, headers in (await callers(tempogram)).items():
            status, said = await fuzz(tempogram, description, headers, SECONDS_MAX[caller])
            if status:
                refused[caller] = said
        _, health = await tempogram.call("GET", "/health")

    assert refused == {}, "\n".join(refused.values())
    assert health == {"status": "up", "conditions": []}
    assert "unhandled_error" not in tempogram.output.read_text()


async def callers(tempogram: Program) -> dict[str, dict[str, str]]:
    """Return the headers by which each kind of caller is let in."""
    _, bound = await tempogram.call("POST", "/tokens", json={"name": "bound", "role": "admin", "bots": ["42"]})
    _, user = await tempogram.call("POST", "/users", json={"name": "fuzzer", "role": "operator"})
    _, link = await tempogram.call("POST", f"/users/{user['id']}/link")
    async with (
        ClientSession(tempogram.url) as browser,
        browser.post("/session", json={"link": link["link"]}) as answer,
    ):
        cookie = answer.cookies["tempogram_session"].value
    return {
        "admin": {"Authorization": f"Bearer {ADMIN_TOKEN}"},
        "operator": {"Authorization": f"Bearer {OPERATOR_TOKEN}"},
        "viewer": {"Authorization": f"Bearer {VIEWER_TOKEN}"},
        "a token of one bot": {"Authorization": f"Bearer {bound['text']}"},
        "a browser": {"Cookie": f"tempogram_session={cookie}", "Sec-Fetch-Site": "same-origin"},
    }


def with_what_there_is(description: dict[str, Any], message_id: str) -> dict[str, Any]:
    """Return the description for what there is, so that requests are accepted and not only refused.

    The Bot API door is not in ours, since it is Telegram's; here it is described for one call. Schemathesis cannot make
    JSON lines.
    """
    schemas = description["components"]["schemas"]
    del description["paths"]["/bots/{bot_id}/chats/import"]["post"]["requestBody"]["content"]["application/x-ndjson"]
    for name in ("MessageIn", "SubscriptionIn", "MemberIn"):
        schemas[name]["properties"]["bot"] = {"enum": ["42", 42]}
    schemas["SubscriptionIn"]["properties"]["source"] = {"enum": ["prices"]}
    schemas["MemberIn"]["properties"]["plan"] = {"enum": ["free", "paid", "standard"]}
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    for parameter in (each for operation in operations for each in operation.get("parameters", ())):
        if parameter["name"] == "message_id":
            parameter["schema"] = {"enum": [message_id]}
        elif parameter["name"] in SERVICE:
            parameter["schema"] = {"enum": [SERVICE[parameter["name"]]]}
        elif parameter["name"] == "tag":
            parameter["example"] = WAITING["tag"]
    description["paths"][f"/bot{TOKEN}/sendMessage"] = {"get": {"responses": ANY}, "post": DOOR_CALL}
    return description


async def fuzz(
    tempogram: Program, description: dict[str, Any], headers: dict[str, str], seconds_max: int
) -> tuple[int, str]:
    """Run Schemathesis, and return its status and its report."""
    file = tempogram.directory / "openapi.json"
    file.write_text(json.dumps(description))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(CONFIG), "run", str(file), "--url", tempogram.url),
        *(part for name, value in headers.items() for part in ("--header", f"{name}: {value}")),
        *("--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES), "--max-time", str(seconds_max), "--seed", "1", "--no-color"),
        cwd=tempogram.directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await process.communicate()
    return process.returncode or 0, report.decode()
