"""What can be chosen about the simulated Telegram, checked when it is built."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import msgspec

MAY_BE_ZERO = frozenset(
    {
        "bot_limit",
        "paid_limit",
        "group_limit",
        "private_limit",
        "total_limit",
        "webhook_limit",
        "penalty_patience",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """Limits, penalties and bounds; a limit of 0 is no limit.

    Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
    """

    bot_limit: int = 30
    bot_window_ms: int = 1_000
    # What a bot pays for (``allow_paid_broadcast``) has a window of its own.
    paid_limit: int = 1_000
    paid_window_ms: int = 1_000
    group_limit: int = 20
    group_window_ms: int = 60_000
    # Not an exact rule of Telegram's: "about one a second", and short bursts pass.
    private_limit: int = 1
    private_window_ms: int = 1_000
    private_burst: int = 3
    # No rule of Telegram's but of the operator of the bots; counted, and refused only if enforced.
    total_limit: int = 0
    total_window_ms: int = 1_000
    total_enforced: bool = False
    webhook_limit: int = 1
    webhook_window_ms: int = 1_000

    bot_penalty_s: int = 5
    # So many calls into a standing penalty only hear the time that is left; each further one makes it grow.
    penalty_patience: int = 1
    penalty_growth: float = 2.0
    penalty_cap_s: int = 60

    accept_any_token: bool = True
    accept_any_chat: bool = True
    accept_any_message: bool = False  # edits, deletes, forwards, replies and answers to messages that were never sent
    any_webhook_url: bool = False  # also http:// and any port, as between containers
    control_from_anywhere: bool = False

    body_limit_bytes: int = 50_000_000
    calls_kept: int = 1_000_000
    messages_kept: int = 20_000  # an older one counts as there, with its content forgotten
    updates_kept: int = 100_000  # for each bot
    unique_prefix: str = ""  # texts that begin so must not be accepted twice; "" means all texts

    redelivery_base_ms: int = 2_000
    redelivery_cap_ms: int = 60_000
    redelivery_until_ms: int = 86_400_000
    webhook_timeout_ms: int = 60_000

    def __post_init__(self) -> None:
        """Refuse a value that makes no sense, naming it."""
        for name, value in asdict(self).items():
            if isinstance(value, bool | str):
                continue
            least = 0 if name in MAY_BE_ZERO else 1
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value!r}")


def settings_with(settings: SimulatorSettings, changes: Mapping[str, object]) -> SimulatorSettings:
    """Return ``settings`` with some values changed; numbers may be given as text.

    Raises:
        ValueError: A name is unknown or a value makes no sense.

    >>> settings_with(SimulatorSettings(), {"group_window_ms": "10000"}).group_window_ms
    10000
    """
    unknown = set(changes) - {field.name for field in fields(SimulatorSettings)}
    if unknown:
        raise ValueError(f"no setting is called {', '.join(sorted(unknown))}")
    try:
        return msgspec.convert({**asdict(settings), **changes}, SimulatorSettings, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
