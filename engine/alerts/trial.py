"""Tries each channel, so that an operator sees it work before it is needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from tempogram.engine.alerts.channel import Away, Channel, Pending, Tried
from tempogram.engine.alerts.notices import trial_notice
from tempogram.engine.model.clock import Clock

TRIAL_S = 20.0

ASK_AGAIN_S = 0.5
"""Between two questions what became of it."""


class Trial:
    """Sends a notice by each channel at once, to see what comes of it."""

    def __init__(self, channels: Mapping[str, Channel], *, clock: Clock) -> None:
        self._channels = channels
        self._clock = clock

    async def __call__(self) -> dict[str, Tried]:
        names = sorted(self._channels)
        return dict(zip(names, await asyncio.gather(*(self._try(self._channels[name]) for name in names)), strict=True))

    async def _try(self, channel: Channel) -> Tried:
        notice = trial_notice(self._clock())
        tried: Tried = Away(f"it did not answer within {TRIAL_S:g} s")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TRIAL_S):
                tried = await channel.send(notice)
                while isinstance(tried, Pending):
                    await asyncio.sleep(ASK_AGAIN_S)
                    tried = await channel.send(notice)
        return tried
