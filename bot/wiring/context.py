"""What every part of the program is built from."""

from __future__ import annotations

from dataclasses import dataclass

from tempogram.bot.config.process_roles import ProcessRole
from tempogram.bot.config.settings import Settings
from tempogram.engine.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The settings, the role and the clock of this process.

    Attributes:
        simulated: The bots are simulated ones, which greet and repeat.
    """

    settings: Settings
    role: ProcessRole
    clock: Clock
    simulated: bool = False
