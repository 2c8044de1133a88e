"""How the calls inside a block are sent: ``with tempogram.priority("low"):`` and ``with tempogram.options(…):``."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any, Self

from pydantic import ValidationError

from tempogram.api.core.validation_messages import first_sentence
from tempogram.api.schemas.sending import Sending
from tempogram.engine.model.messages import Guarantee, Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How a call is sent; None: not said. ``send_at_ms`` and ``dedup_key`` are of one call, and never of a block."""

    priority: Priority | None = None
    delivery: Guarantee | None = None
    expires_in_s: float | None = None
    tag: str | None = None
    send_at_ms: int | None = None
    dedup_key: str | None = None

    def within(self, outer: CallOptions) -> CallOptions:
        """Return these options, and those of an outer block where these say nothing.

        >>> CallOptions(tag="a").within(CallOptions(tag="b", expires_in_s=60)).expires_in_s
        60
        """
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return CallOptions(**{name: getattr(outer, name) if value is None else value for name, value in said.items()})


NONE = CallOptions()


class CallBlock:
    """A block whose calls have some options, in tasks that it starts, too. It may be entered again and again."""

    def __init__(self, options: CallOptions) -> None:
        self._options = options

    def __enter__(self) -> Self:
        _current.set(self._entered_in(_current.get()))
        return self

    def __exit__(self, *_: object) -> None:
        _current.set(self._left_by(_current.get()))

    def _entered_in(self, outer: _Entered | None) -> _Entered:
        return _Entered(self, self._options.within(NONE if outer is None else outer.options), outer)

    def _left_by(self, entered: _Entered | None) -> _Entered | None:
        """Return the blocks without this one: the innermost, unless a generator with it ends inside of another."""
        if entered is None:  # the generator ends in another task
            return None
        if entered.block is self:
            return entered.outer
        return entered.block._entered_in(self._left_by(entered.outer))  # noqa: SLF001 - of the same class


@dataclass(frozen=True, slots=True)
class _Entered:
    block: CallBlock
    options: CallOptions
    outer: _Entered | None


_current: ContextVar[_Entered | None] = ContextVar("call_options", default=None)


def current() -> CallOptions:
    """Return the options of the blocks around a call; the innermost counts."""
    entered = _current.get()
    return NONE if entered is None else entered.options


def priority(word: Priority | str) -> CallBlock:
    """Return a block whose calls have a priority: in a handler's block it is instead of that of its update.

    Of nested blocks the innermost counts. A method that a handler returns is made after the block, and keeps the
    priority of the update.

    Raises:
        ValueError: The word is not ``high``, ``normal`` or ``low``.
    """
    return CallBlock(read(priority=word))


def options(
    *,
    priority: Priority | str | None = None,
    delivery: Guarantee | str | None = None,
    expires_in_s: float | None = None,
    tag: str | None = None,
) -> CallBlock:
    """Return a block whose calls have some options; those that it does not name are as around it.

    Args:
        priority: See ``priority``.
        delivery: ``at_least_once`` or ``at_most_once``: whether a call is made again of which it is unknown whether
            it arrived. A method that must not be made twice stays ``at_most_once``.
        expires_in_s: Seconds, counted from each call, after which it is not sent any more.
        tag: A label of 1 to 64 printable characters, by which messages are found and cancelled together.

    Raises:
        ValueError: One of them is not what ``POST /messages`` takes; one sentence that names it.
    """
    return CallBlock(read(priority=priority, delivery=delivery, expires_in_s=expires_in_s, tag=tag))


def read(**given: Any) -> CallOptions:
    """Return options that are checked as those of ``POST /messages``; one that is None is not given.

    >>> read(priority="low", tag=None).priority
    <Priority.LOW: 'low'>

    Raises:
        ValueError: One sentence that names the option and what it may be.
    """
    said = {name: value for name, value in given.items() if value is not None}
    try:
        sending = Sending.model_validate(said)
    except ValidationError as error:
        raise ValueError(first_sentence(error)) from None
    return CallOptions(
        priority=sending.priority if "priority" in said else None,
        delivery=sending.delivery if "delivery" in said else None,
        expires_in_s=sending.expires_in_s,
        tag=sending.tag,
        send_at_ms=sending.send_at,
        dedup_key=sending.dedup_key,
    )
