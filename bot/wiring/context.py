"""What every part of the program is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tempogram.bot.config.process_roles import ProcessRole
from tempogram.bot.config.settings import Settings
from tempogram.engine.ports import Clock

if TYPE_CHECKING:
    from tempogram.bot.terminal.conversation import Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The settings, the role and the clock of this process.

    Attributes:
        simulated: The bots are simulated ones, which greet and repeat.
        conversation: What a person on a terminal sees; None elsewhere.
    """

    settings: Settings
    role: ProcessRole
    clock: Clock
    simulated: bool = False
    conversation: Conversation | None = None

    @property
    def watched_by(self) -> Conversation | None:
        """Return what is to be notified of each message; None: LOG_LEVEL leaves that out."""
        return self.conversation if self.settings.log_level in {"DEBUG", "INFO"} else None
