"""What a strict service says of a limit, in the forms that services use.

Sources: https://www.rfc-editor.org/rfc/rfc9110#name-retry-after (Retry-After),
https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (RateLimit),
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api (GitHub),
https://docs.x.com/x-api/fundamentals/rate-limits (X), https://platform.openai.com/docs/guides/rate-limits (OpenAI),
https://docs.anthropic.com/en/api/rate-limits (Anthropic)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a limit at one moment.

    Attributes:
        after_ms: In how many milliseconds there is more.
        now_s: The clock of the server, seconds since the epoch.
    """

    limit: int
    left: int
    window_ms: float
    after_ms: float
    now_s: float
    is_refused: bool
    unit: str

    @property
    def after_s(self) -> int:
        return math.ceil(self.after_ms / 1_000)

    @property
    def word(self) -> str:
        """OpenAI's and Anthropic's for the unit."""
        return "tokens" if self.unit == "tokens" else "requests"


def none(left: Left) -> dict[str, str]:
    """Return nothing, whatever is left."""
    del left
    return {}


def retry_after(left: Left) -> dict[str, str]:
    return {"Retry-After": str(max(1, left.after_s))} if left.is_refused else {}


def retry_after_date(left: Left) -> dict[str, str]:
    """Say a date, beside the service's own clock."""
    if not left.is_refused:
        return {}
    at_s = math.ceil(left.now_s + left.after_ms / 1_000)
    return {"Date": formatdate(left.now_s, usegmt=True), "Retry-After": formatdate(at_s, usegmt=True)}


def retry_after_ms(left: Left) -> dict[str, str]:
    return {"retry-after-ms": str(max(1, math.ceil(left.after_ms)))} if left.is_refused else {}


def standard(left: Left) -> dict[str, str]:
    return {
        "RateLimit-Policy": f'"default";q={left.limit};w={math.ceil(left.window_ms / 1_000)}',
        "RateLimit": f'"default";r={left.left};t={left.after_s}',
        **retry_after(left),
    }


def github(left: Left) -> dict[str, str]:
    return _named(left, "x-ratelimit")


def of_x(left: Left) -> dict[str, str]:
    return _named(left, "x-rate-limit")


def openai(left: Left) -> dict[str, str]:
    unit = left.word
    return {
        f"x-ratelimit-limit-{unit}": str(left.limit),
        f"x-ratelimit-remaining-{unit}": str(left.left),
        f"x-ratelimit-reset-{unit}": f"{math.ceil(left.after_ms)}ms",
    }


def anthropic(left: Left) -> dict[str, str]:
    back_at = datetime.fromtimestamp(math.ceil(left.now_s + left.after_ms / 1_000), UTC)
    return {
        f"anthropic-ratelimit-{left.word}-limit": str(left.limit),
        f"anthropic-ratelimit-{left.word}-remaining": str(left.left),
        f"anthropic-ratelimit-{left.word}-reset": f"{back_at:%Y-%m-%dT%H:%M:%SZ}",
        **retry_after(left),
    }


FORMS: dict[str, Callable[[Left], dict[str, str]]] = {
    "none": none,
    "retry-after": retry_after,
    "retry-after-date": retry_after_date,
    "retry-after-ms": retry_after_ms,
    "ratelimit": standard,
    "github": github,
    "x": of_x,
    "openai": openai,
    "anthropic": anthropic,
}


def _named(left: Left, prefix: str) -> dict[str, str]:
    return {
        f"{prefix}-limit": str(left.limit),
        f"{prefix}-remaining": str(left.left),
        f"{prefix}-reset": str(math.ceil(left.now_s + left.after_ms / 1_000)),
    }
