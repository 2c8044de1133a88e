"""A campaign by text message and telephone, as Twilio allows it: one of each a second, ten requests at once.

python -m examples.services.campaign

No account is needed: a strict service on this machine counts, and answers as Twilio does, a 429 with the code 20429.
``before`` has what is often written: so many at once, and a loop that waits longer after each 429. What was refused
together comes back together, and what was refused three times is lost. ``after`` has neither semaphore nor loop.
"""

from __future__ import annotations

import asyncio

import aiohttp

from examples.services.shown import Example, main
from tempogram import services

TEXTED = [f"+1555000{number}" for number in range(4)]
CALLED = [f"+1555100{number}" for number in range(3)]

ACCOUNT = "/2010-04-01/Accounts/AC1"
TOO_MANY_REQUESTS = 20429


class TwilioError(Exception):
    """An answer that is none, with its code, as Twilio's library raises it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Twilio answered {code}")
        self.code = code


async def create(http: aiohttp.ClientSession, resource: str, to: str) -> str:
    async with http.post(f"{ACCOUNT}/{resource}.json", data={"To": to, "From": "+15550100"}) as response:
        answer = await response.json()
        if not response.ok:
            raise TwilioError(answer["error"]["code"])
        return str(answer["sid"])


async def before(url: str) -> int:
    at_once = asyncio.Semaphore(10)

    async def try_to_create(http: aiohttp.ClientSession, resource: str, to: str) -> str | None:
        for attempt in range(3):
            try:
                async with at_once:
                    return await create(http, resource, to)
            except TwilioError as error:
                if error.code != TOO_MANY_REQUESTS:
                    raise
            await asyncio.sleep(0.5 * 2**attempt)
        return None

    async with aiohttp.ClientSession(url) as http:
        created = await asyncio.gather(
            *(try_to_create(http, "Messages", to) for to in TEXTED),
            *(try_to_create(http, "Calls", to) for to in CALLED),
        )
    return sum(sid is not None for sid in created)


async def after(url: str) -> int:
    async with aiohttp.ClientSession(url) as http:
        created = await asyncio.gather(
            *(services.call("twilio", "sms", create, http, "Messages", to) for to in TEXTED),
            *(services.call("twilio", "voice", create, http, "Calls", to) for to in CALLED),
        )
    return len(created)


EXAMPLE = Example(
    title=f"{len(TEXTED)} messages and {len(CALLED)} telephone calls; one of each in any second, 10 at once",
    asked=len(TEXTED) + len(CALLED),
    before=before,
    after=after,
    limits=[
        {"name": "sms", "prefix": f"{ACCOUNT}/Messages", "count": 1, "window_ms": 1_000},
        {"name": "voice", "prefix": f"{ACCOUNT}/Calls", "count": 1, "window_ms": 1_000},
        {"name": "at once", "prefix": "/", "concurrency": 10},
    ],
    manner={"answer": {"sid": "SM1"}, "hold_ms": (30, 30)},
)

if __name__ == "__main__":
    main(EXAMPLE)
