"""Brings updates to webhooks: several at once, in order within a chat, again until they are taken."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

import aiohttp

from tempogram.simulator.limits.windows import MS
from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.world.mailbox import Pending
from tempogram.simulator.world.world import Bot, Webhook, World

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name


@dataclass(slots=True)
class Round:
    """The deliveries to one bot's webhook as it is now; a new webhook gets a new round."""

    webhook: Webhook
    session: aiohttp.ClientSession
    connections: asyncio.Semaphore
    lanes: dict[int, deque[Pending]] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass(slots=True)
class Delivery:
    """See ``world.Courier``. Opened and closed with the server."""

    world: World
    _session: aiohttp.ClientSession | None = None
    _rounds: dict[int, Round] = field(default_factory=dict)

    async def open(self) -> None:
        """Get ready to call webhooks, and begin with what waits."""
        timeout = aiohttp.ClientTimeout(total=self._settings.webhook_timeout_ms / 1_000)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        for bot in self.world.bots.values():
            self.restart(bot)

    async def close(self) -> None:
        """Stop; what was not taken stays in the mailboxes."""
        tasks = [task for going in self._rounds.values() for task in going.tasks]
        self._rounds.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def offer(self, bot: Bot, pending: Pending) -> None:
        """See ``world.Courier``."""
        if self._session is None or bot.webhook is None:
            return
        going = self._rounds.get(bot.bot_id)
        if going is None:
            connections = asyncio.Semaphore(bot.webhook.max_connections)
            going = self._rounds[bot.bot_id] = Round(bot.webhook, self._session, connections)
        lane = going.lanes.get(pending.chat_id)
        if lane is not None:
            lane.append(pending)
            return
        going.lanes[pending.chat_id] = deque([pending])
        task = asyncio.create_task(self._drain(bot, going, pending.chat_id))
        going.tasks.add(task)
        task.add_done_callback(going.tasks.discard)

    def restart(self, bot: Bot) -> None:
        """See ``world.Courier``."""
        old = self._rounds.pop(bot.bot_id, None)
        for task in old.tasks if old is not None else ():
            task.cancel()
        for pending in tuple(bot.mailbox.updates.values()):
            self.offer(bot, pending)

    @property
    def _settings(self) -> SimulatorSettings:
        return self.world.settings

    async def _drain(self, bot: Bot, going: Round, chat_id: int) -> None:
        lane = going.lanes[chat_id]
        while lane:
            await self._deliver(bot, going, lane[0])
            lane.popleft()
        del going.lanes[chat_id]

    async def _deliver(self, bot: Bot, going: Round, pending: Pending) -> None:
        attempt = 1
        while pending.update_id in bot.mailbox.updates:
            async with going.connections:
                taken = await _post(bot, going, pending)
            if taken or time.monotonic_ns() - pending.since_ns > self._settings.redelivery_until_ms * MS:
                bot.mailbox.take(pending.update_id)
                return
            delay_ms = redelivery_delay_ms(
                attempt, base_ms=self._settings.redelivery_base_ms, cap_ms=self._settings.redelivery_cap_ms
            )
            await asyncio.sleep(delay_ms / 1_000)
            attempt += 1


def redelivery_delay_ms(attempt: int, *, base_ms: int, cap_ms: int) -> int:
    """Return how long to wait after failed attempt ``attempt``, 1 for the first.

    >>> [redelivery_delay_ms(attempt, base_ms=2_000, cap_ms=60_000) for attempt in (1, 2, 3, 4, 9)]
    [0, 2000, 4000, 8000, 60000]
    """
    if attempt == 1:
        return 0
    # Beyond 2^30 the cap holds for any base, and the number stays small.
    return min(base_ms << min(attempt - 2, 30), cap_ms)


async def _post(bot: Bot, going: Round, pending: Pending) -> bool:
    headers = {"Content-Type": "application/json"}
    if going.webhook.secret_token:
        headers[SECRET_HEADER] = going.webhook.secret_token
    try:
        async with going.session.post(
            going.webhook.url, data=bytes(pending.body), headers=headers, allow_redirects=False
        ) as response:
            # A method in the reply's body is Telegram's to run unseen; it is not run here.
            await response.read()
            taken = 200 <= response.status < 300
            reason = f"Wrong response from the webhook: {response.status} {response.reason}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        taken, reason = False, f"Connection failed: {type(error).__name__}"
    if not taken:
        bot.last_error, bot.last_error_at_s = reason, int(time.time())
    return taken
