"""What a request of an HTTP client is as a call of a service, whichever client makes it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from tempogram.engine.services.answers import Classify
from tempogram.engine.services.errors import UnknownService
from tempogram.engine.services.services import CallOptions

T = TypeVar("T")

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Source: https://www.rfc-editor.org/rfc/rfc9110#name-idempotent-methods"""

READ_FROM = 400
"""The body of an answer from this status on is read before it is judged: it is short, and a rule of one's own may need
it."""

SWITCHING = 101
"""The connection goes on as another protocol's, such as a WebSocket's: the call is over."""

KEPT_BYTES_MAX = 1 << 20
"""How much of a body is kept for ``used``. untuned: an answer of a model has some 30 KB."""

Choose = str | Mapping[str, str] | Callable[[T], str]
"""An operation's name; or patterns of ``host/path`` with names, of which the first that fits counts; or a function of
the request."""


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """What ``used`` and ``classify`` get of an answer over HTTP.

    Attributes:
        body: Decoded. Empty where it was not read: of an answer below 400 that ``used`` did not ask for.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


AnswerOf = Callable[[Any], ReadAnswer | None]


def operation_of(choose: Choose[T], request: T, place: str) -> str:
    """Return the operation of a request.

    >>> operation_of({"*/Messages.json": "sms", "*": "general"}, None, "api.twilio.com/Accounts/1/Messages.json")
    'sms'

    Args:
        choose: See ``Choose``.
        request: As its client has it.
        place: ``host/path``.

    Raises:
        UnknownService: No pattern fits.
    """
    if isinstance(choose, str):
        return choose
    if not isinstance(choose, Mapping):
        return choose(request)
    for pattern, operation in choose.items():
        if fnmatchcase(place, pattern):
            return operation
    raise UnknownService(f"no pattern of an operation fits {place}; there are {', '.join(choose)}")


def options_of(
    options: CallOptions,
    *,
    method: str,
    may_repeat: Callable[[], bool],
    answer_of: AnswerOf,
) -> CallOptions:
    """Return the options of a request's call.

    Args:
        options: As its client was given them.
        method: Of HTTP.
        may_repeat: Tells whether its body is still there.
        answer_of: Returns what a response is for ``used`` and ``classify``.
    """
    if options.is_idempotent is None and method in IDEMPOTENT:
        options = replace(options, is_idempotent=True)
    if options.classify is not None:
        options = replace(options, classify=functools.partial(_classify, options.classify, answer_of))
    if options.used is not None:
        options = replace(options, used=functools.partial(_used, options.used, answer_of))
    return replace(options, may_repeat=may_repeat)


def also(error: Exception, kind: type[Exception], *, otherwise: str = "") -> Exception:
    """Return an error as one of a client's library, too, so that code which catches those goes on working.

    Args:
        error: Ours.
        kind: Theirs.
        otherwise: What an error without a sentence says.
    """
    ours: Any = type(error)
    theirs: Any = kind
    both = _both(ours, theirs)
    same = both.__new__(both)
    same.__dict__.update(error.__dict__)
    same.args = error.args if str(error) else (otherwise,)
    return same


@functools.cache
def _both(ours: type[Any], theirs: type[Any]) -> type[Exception]:
    kinds = (theirs,) if issubclass(theirs, ours) else (ours, theirs)
    return type(ours.__name__, kinds, {"__module__": ours.__module__, "__str__": _sentence})


def _sentence(error: Exception) -> str:
    return str(error.args[0]) if error.args else ""


def _classify(rule: Classify, answer_of: AnswerOf, returned: Any) -> Any:
    return rule(returned if isinstance(returned, Exception) else answer_of(returned))


def _used(rule: Callable[[Any], int | None], answer_of: AnswerOf, returned: Any) -> int | None:
    answer = returned if isinstance(returned, ReadAnswer) else answer_of(returned)
    return rule(answer) if answer is not None and answer.body else None
