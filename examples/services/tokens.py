"""Questions to a language model that allows so many tokens in a time, whatever the number of calls.

python -m examples.services.tokens

``before`` makes five calls at once, with a pause after each, and waits as long as a 429 says. It knows nothing of
tokens, so it finds out by a 429 for each call that the window is used up. ``after`` says what a call costs at the most
(``cost``), and reads from the answer what it was (``used``); the rest can be used again at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from examples.services.shown import Example, main
from tempogram import CallOptions, ServiceTransport, services, total_tokens

QUESTIONS = [f"What is the capital of country {number}?" for number in range(10)]

TOKENS_MAX = 500
"""Of one question with its answer."""

TOKENS, WINDOW_MS = 2_000, 2_000
"""What the service allows; ``services.toml`` beside this file says the same."""


async def ask(http: httpx.AsyncClient, question: str) -> str:
    body: dict[str, Any] = {
        "model": "small",
        "max_tokens": TOKENS_MAX,
        "messages": [{"role": "user", "content": question}],
    }
    response = await http.post("/v1/chat/completions", json=body)
    response.raise_for_status()
    return str(response.json()["choices"][0]["message"]["content"])


async def before(url: str) -> int:
    at_once = asyncio.Semaphore(5)

    async def try_to_ask(question: str) -> str | None:
        for _ in range(3):
            try:
                async with at_once:
                    answer = await ask(http, question)
                    await asyncio.sleep(0.2)
                    return answer
            except httpx.HTTPStatusError as error:
                if error.response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    raise
                await asyncio.sleep(int(error.response.headers["Retry-After"]))
        return None

    async with httpx.AsyncClient(base_url=url) as http:
        answers = await asyncio.gather(*(try_to_ask(question) for question in QUESTIONS))
    return sum(answer is not None for answer in answers)


async def after(url: str) -> int:
    options = CallOptions(cost=TOKENS_MAX, used=total_tokens)
    transport = ServiceTransport(services, "llm", "chat", options=options)
    async with httpx.AsyncClient(transport=transport, base_url=url) as http:
        answers = await asyncio.gather(*(ask(http, question) for question in QUESTIONS))
    return len(answers)


EXAMPLE = Example(
    title=f"{len(QUESTIONS)} questions to a model; {TOKENS:,} tokens in any {WINDOW_MS / 1_000:g} s, 5 calls at once",
    asked=len(QUESTIONS),
    before=before,
    after=after,
    limits=[
        {"name": "tokens", "prefix": "/", "count": TOKENS, "window_ms": WINDOW_MS, "unit": "tokens"},
        {"name": "at once", "prefix": "/", "concurrency": 5},
    ],
    manner={"form": "retry-after", "costs": (0.6, 0.9), "hold_ms": (100, 150)},
)

if __name__ == "__main__":
    main(EXAMPLE)
