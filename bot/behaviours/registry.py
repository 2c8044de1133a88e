"""Every behaviour of this process, in the order in which they are asked.

``preferences`` is first, so that no other one takes its commands; then come a user's own, and the other bundled ones.
Before the users' own, ``reengagement`` listens to ``/stop`` and ``/start``, and leaves them to be answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.behaviours import broadcasts, commands, echo, preferences, reengagement, replies, watches
from tempogram.bot.behaviours.behaviour import Behaviour

BUNDLED = (preferences, broadcasts, commands, watches, reengagement, replies, echo)

GREETING: Mapping[str, Any] = {
    commands.NAME: {
        "start": "Hello, {first_name}! Whatever you write to me, I repeat.",
        "help": "I know /start and /help. I repeat everything else.",
    },
    echo.NAME: {},
}
"""The behaviours of simulated bots, after those of ``BEHAVIOURS``."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A behaviour of ``BEHAVIOURS`` that cannot be without settings."""

    name: str
    reason: str


class Behaviours:
    """The behaviours by name.

    Args:
        own: Of ``BEHAVIOURS``, in its order.
        simulated: The bots are simulated ones, which greet and repeat.
    """

    def __init__(self, own: Sequence[Behaviour] = (), *, simulated: bool = False) -> None:
        named = {each.name for each in own}
        bundled = [
            Behaviour(name=each.NAME, module=each, router=each.router()) for each in BUNDLED if each.NAME not in named
        ]
        self._own = tuple(own)
        self._simulated = simulated
        self._first = [each for each in bundled if each.name == preferences.NAME]
        self._listening = [
            replace(each, router=reengagement.listener()) for each in bundled if each.name == reengagement.NAME
        ]
        self._by_name = {each.name: each for each in (*self._first, *own, *bundled)}

    @property
    def names(self) -> Sequence[str]:
        """Return the names in the order in which behaviours are asked."""
        return list(self._by_name)

    @property
    def example(self) -> str:
        """Return the name of one that a bot without any may want: a user's own, if there is one."""
        return self._own[0].name if self._own else commands.NAME

    @property
    def all(self) -> Sequence[Behaviour]:
        """Return them in the order in which they are asked."""
        return [*self._first, *self._listening, *(each for each in self._by_name.values() if each not in self._first)]

    def check(self, behaviours: Mapping[str, Any]) -> None:
        """Refuse what no bot can have.

        Raises:
            Refusal: One sentence that names what is wrong.
        """
        for name, config in behaviours.items():
            behaviour = self._by_name.get(name)
            if behaviour is None:
                raise Refusal(f"{short(name)} is not a behaviour; choose from {', '.join(self._by_name)}")
            behaviour.check(config)

    @property
    def of_an_added_bot(self) -> Mapping[str, Any]:
        """Return the behaviours of a bot that is added without any: the only one of ``BEHAVIOURS``, or none."""
        return {self._own[0].name: {}} if len(self._own) == 1 else {}

    @property
    def of_earlier(self) -> Mapping[str, Any]:
        """Return what each bot had in a version in which every module of ``BEHAVIOURS`` was asked for all bots."""
        return {each.name: {} for each in self._own}

    @property
    def of_settings(self) -> Mapping[str, Any]:
        """Return the behaviours of the bots of ``BOT_TOKENS``: all of ``BEHAVIOURS`` that can be without settings."""
        unusable = {each.name for each in self.unusable}
        chosen: dict[str, Any] = {each.name: {} for each in self._own if each.name not in unusable}
        return {**(GREETING if self._simulated else {}), **chosen}

    @property
    def unusable(self) -> Sequence[Unusable]:
        """Return those of ``BEHAVIOURS`` that the bots of ``BOT_TOKENS`` cannot have."""
        return [Unusable(each.name, reason) for each in self._own if (reason := _refusal_of(each)) is not None]


def _refusal_of(behaviour: Behaviour) -> str | None:
    try:
        behaviour.check({})
    except Refusal as refusal:
        return str(refusal)
    return None
