"""``tempogram run`` with a limiter that leaks as many in use do: token buckets where Telegram counts windows.

A bucket of 20 refilled at 20 a minute for a group, of 30 refilled at 30 a second for a bot, and nothing spaced.
The benchmarks must notice.
"""

from __future__ import annotations

from dataclasses import replace

from tempogram.bot.commands.cli import main
from tempogram.bot.config.settings import Settings
from tempogram.engine.limits.limits import Limit, Limits

_right = Settings.limits


def _leaking(settings: Settings) -> Limits:
    right = _right(settings)
    return replace(
        right, ceiling=_bucket(right.ceiling), bot=_bucket(right.bot), group=_bucket(right.group), saved_up=30
    )


def _bucket(limit: Limit) -> Limit:
    return replace(limit, burst=limit.count)


if __name__ == "__main__":
    Settings.limits = _leaking  # type: ignore[method-assign, assignment]
    main()
