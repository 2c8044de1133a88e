"""Anna talks with a model, which fails once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.examples.talk import Talk

PAUSE_S = 0.12


async def converse(talk: Talk) -> None:
    await talk.asks("/start", "Ask me anything. /persona changes who I am, /reset forgets what we said.")
    first = await talk.asks("how are you", "you say: how are you, after 1")
    await talk.asks("and then", "you say: and then, after 3")
    await talk.asks("/persona a pirate", "So be it.")
    ahoy = await talk.asks("who are you", "ahoy! you say: who are you, after 5")
    await talk.asks("please fail", "I cannot think just now. Please try later.")
    await talk.presses(ahoy, "🔁 Again")
    for _ in ("without its button", "again"):
        await talk.reads("ahoy! you say: who are you, after 5")
    await talk.asks("/reset", "6 messages are forgotten.")
    assert (await talk.presses(first, "🔁 Again"))["text"] == "I have forgotten what it was about."


async def complete(request: web.Request) -> web.StreamResponse:
    """Answer word by word, as a model's server streams."""
    asked = await request.json()
    persona, *turns = asked["messages"]
    if turns[-1]["content"] == "please fail":
        return web.Response(status=500)
    greeting = "ahoy! " if "pirate" in persona["content"] else ""
    response = web.StreamResponse()
    await response.prepare(request)
    for piece in (greeting, "you say: ", turns[-1]["content"], f", after {len(turns)}"):
        await response.write(b"data: " + json.dumps({"choices": [{"delta": {"content": piece}}]}).encode() + b"\n\n")
        await asyncio.sleep(PAUSE_S)
    await response.write(b"data: [DONE]\n\n")
    return response


@asynccontextmanager
async def surroundings() -> AsyncIterator[dict[str, str]]:
    """Serve a model."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield {"MODEL_URL": f"http://127.0.0.1:{runner.addresses[0][1]}/v1", "MODEL": "test"}
    finally:
        await runner.cleanup()
