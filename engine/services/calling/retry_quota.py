"""How many retries a service is asked for: few of those that fail, however many fail.

Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html (the retry quota)
"""

from __future__ import annotations

SAVED_UP = 3.0
"""Retries that a service which was well gets at once: a single failure of a quiet service is tried again."""

EARNED_BY_CALL = 0.09
"""What each first attempt adds. While everything fails, a service sees at most 1.1 first attempts for each, once there
were 300 of them."""

EARNED_BY_SUCCESS = 1.0


class RetryQuota:
    """One for each service, in each process.

    >>> quota = RetryQuota()
    >>> [quota.take() for _ in range(4)]
    [True, True, True, False]
    >>> quota.succeed(); quota.take()
    True
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = SAVED_UP

    def begin(self) -> None:
        """Note a first attempt that was made; one that the breaker refused earns nothing."""
        self._left += EARNED_BY_CALL

    def succeed(self) -> None:
        """Note a success: a service that is well may be asked again."""
        self._left = min(SAVED_UP, self._left + EARNED_BY_SUCCESS)

    def take(self) -> bool:
        """Take one retry, if there is one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
