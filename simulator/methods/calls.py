"""One Bot API call that has arrived, and the way in which Telegram refuses one."""

from dataclasses import dataclass
from typing import Any

from tempogram.simulator.world.world import Bot

Params = dict[str, Any]  # as the client sent them: JSON values, or text from a form


class Refused(Exception):
    """Telegram's answer is an error; raised where it is found, turned into an answer in one place."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def bad_request(reason: str) -> Refused:
    """Build the refusal of a call that makes no sense.

    >>> bad_request("chat not found").description
    'Bad Request: chat not found'
    """
    return Refused(400, f"Bad Request: {reason}")


def too_many_requests(retry_after_s: int) -> Refused:
    """Build the 429 that says how long to wait."""
    return Refused(429, f"Too Many Requests: retry after {retry_after_s}", retry_after=retry_after_s)


@dataclass(slots=True)
class Call:
    """A call with its chat resolved; ``chat_id`` is 0 without a chat or with an unknown one."""

    bot: Bot
    method: str
    params: Params
    chat_id: int
    at_ns: int
    cost: int = 0
    message_id: int = 0


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a call: its bytes were counted, hashed and dropped."""

    file_id: str
    size_bytes: int
    sha256: str
