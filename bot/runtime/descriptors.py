"""How many connections of clients the process may have, by the descriptors that the system gives it."""

from __future__ import annotations

import resource

DESCRIPTORS_MAX = 65_536
"""What the limit is raised to, if it may be; some systems allow a billion. untuned: far above what is used."""

CONNECTIONS_MAX = 4_096
"""untuned: Telegram opens 40 to a bot at the most, and beyond this number one is closed for each new one."""

CONNECTIONS_MIN = 16
"""However few descriptors there are, the API answers."""


def raise_limit() -> int:
    """Raise the soft limit of open descriptors as far as allowed, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft
    hard = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else hard
    wanted = max(soft, min(hard, DESCRIPTORS_MAX))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a lower limit of its own
        return soft
    return wanted


def connections_max(descriptors: int, *, others: int) -> int:
    """Return how many connections clients may have: at most half, so that files, databases and polls have theirs.

    Args:
        descriptors: That the process may have open.
        others: Connections that the process may open to Telegram.

    >>> connections_max(1_024, others=100)
    512
    >>> connections_max(1_024, others=700)
    324
    """
    return max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, descriptors // 2, descriptors - others))
