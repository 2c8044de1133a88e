"""What goes wrong on demand: rules that match calls, used up in the order in which they were given."""

import random
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from tempogram.simulator.limits.windows import MS

Kind = Literal[
    "429",
    "400_429",
    "400_item",
    "5xx",
    "reset_before",
    "reset_after",
    "hang",
    "latency",
    "blocked",
    "kicked",
    "deactivated",
    "migrated",
    "revoked",
    "chat_not_found",
    "removed",
]
RULES_KEPT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One rule; ``None`` in ``bot_id`` or ``chat_id`` matches any.

    ``method`` None matches every call that counts against a limit (and every call at all if the
    token is ``revoked``), so that polling does not use the rule up; ``"*"`` matches every call.
    A rule ends after ``times`` matches, or ``for_ms`` after it was given, or when it is removed.
    """

    kind: Kind
    bot_id: int | None = None
    chat_id: int | str | None = None
    method: str | None = None
    times: int | None = None
    for_ms: int | None = None
    share: float = 1.0  # of the matching calls, by chance
    retry_after_s: int = 5  # "429", "400_429"
    delivered: int = 0  # "400_429", "400_item" on an album: so many of its items arrive nevertheless
    hold: Literal["chat", "bot", "none"] = "chat"  # "429", "400_429": what is refused until then
    status: Literal[500, 502, 503, 504] = 500  # "5xx"
    processed: bool = False  # "hang": whether the call has its effect
    delay_ms: int = 0  # "latency"
    jitter_ms: int = 0  # "latency": up to so much more, evenly spread
    sigma: float = 0.0  # "latency": log-normal around the median ``delay_ms``, with this deviation of its logarithm
    # "latency": on the way here, on the way back, half of it on each, or as much again on each. So a call is counted
    # just before its answer, at once, in the middle of its round trip, or somewhere in it.
    where: Literal["in", "out", "middle", "both"] = "in"
    to_chat_id: int | None = None  # "migrated": the supergroup's id; None makes one up

    def __post_init__(self) -> None:
        """Refuse a rule that could not work, naming the value."""
        for name in ("times", "for_ms", "retry_after_s"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.delivered < 0:
            raise ValueError(f"delivered cannot be negative: {self.delivered}")
        if self.delay_ms < 0 or self.jitter_ms < 0:
            raise ValueError(f"delay_ms and jitter_ms cannot be negative: {self.delay_ms}, {self.jitter_ms}")
        if self.sigma < 0:
            raise ValueError(f"sigma cannot be negative: {self.sigma}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {self.share}")
        if self.kind == "migrated" and self.chat_id is None:
            raise ValueError("migrated needs a chat_id")

    def ways_ms(self) -> tuple[float, float]:
        """Draw how long one call is delayed on the way here and on the way back."""
        delay_ms = self._delay_ms()
        match self.where:
            case "in":
                return delay_ms, 0.0
            case "out":
                return 0.0, delay_ms
            case "middle":
                return delay_ms / 2, delay_ms / 2
            case "both":
                return delay_ms, self._delay_ms()

    def _delay_ms(self) -> float:
        median_ms = self.delay_ms * random.lognormvariate(0.0, self.sigma) if self.sigma else self.delay_ms
        return median_ms + random.random() * self.jitter_ms


@dataclass(slots=True)
class Rule:
    """A fault while it is in force; ``chat_id`` is the number even where a name was given."""

    rule_id: int
    fault: Fault
    chat_id: int | None
    until_ns: int | None
    left: int | None

    def matches(self, bot_id: int, method: str, *, counts: bool) -> bool:
        """Tell whether a call to the rule's chat is meant."""
        fault = self.fault
        if fault.bot_id is not None and fault.bot_id != bot_id:
            return False
        if fault.method is None:
            return counts or fault.kind == "revoked"
        return fault.method == "*" or fault.method.lower() == method.lower()


@dataclass(slots=True)
class Faults:
    """The rules in force. Latency is looked up apart, so a slow call may fail besides."""

    ordered: int = 0
    _rules: dict[int, Rule] = field(default_factory=dict)
    # Rules for one chat are found by that chat, so ten thousand blocked chats cost nothing.
    _by_chat: dict[int | None, list[Rule]] = field(default_factory=dict)
    _ids: "count[int]" = field(default_factory=lambda: count(1))

    def add(self, fault: Fault, *, chat_id: int | None, now_ns: int) -> int:
        """Put a rule in force and return its number.

        Raises:
            ValueError: There are too many rules already.
        """
        if len(self._rules) >= RULES_KEPT:
            raise ValueError(f"there are {RULES_KEPT} rules already")
        until_ns = None if fault.for_ms is None else now_ns + fault.for_ms * MS
        rule = Rule(next(self._ids), fault, chat_id, until_ns, fault.times)
        self._rules[rule.rule_id] = rule
        self._by_chat.setdefault(chat_id, []).append(rule)
        return rule.rule_id

    def remove(self, rule_id: int) -> bool:
        """End a rule; False if there is none of this number."""
        rule = self._rules.pop(rule_id, None)
        if rule is None:
            return False
        rules = self._by_chat[rule.chat_id]
        rules.remove(rule)
        if not rules:
            del self._by_chat[rule.chat_id]
        return True

    def clear(self) -> None:
        """End all rules."""
        self._rules.clear()
        self._by_chat.clear()

    def latency(self, bot_id: int, chat_id: int, method: str, *, counts: bool, now_ns: int) -> Fault | None:
        """Find the delay of this call, using up one of its times."""
        return self._use(bot_id, chat_id, method, counts=counts, now_ns=now_ns, is_latency=True)

    def failure(self, bot_id: int, chat_id: int, method: str, *, counts: bool, now_ns: int) -> Fault | None:
        """Find what goes wrong with this call, using up one of its times."""
        fault = self._use(bot_id, chat_id, method, counts=counts, now_ns=now_ns, is_latency=False)
        if fault is not None:
            self.ordered += 1
        return fault

    def in_force(self) -> list[dict[str, object]]:
        """List the rules, oldest first, with how often each may still match."""
        return [
            {"id": rule.rule_id, "kind": rule.fault.kind, "chat_id": rule.chat_id, "left": rule.left}
            for rule in self._rules.values()
        ]

    def _use(
        self, bot_id: int, chat_id: int, method: str, *, counts: bool, now_ns: int, is_latency: bool
    ) -> Fault | None:
        if not self._rules:
            return None
        candidates = list(self._by_chat.get(None, ()))
        if chat_id in self._by_chat:
            candidates = sorted(candidates + self._by_chat[chat_id], key=lambda rule: rule.rule_id)
        for rule in candidates:
            if rule.until_ns is not None and rule.until_ns <= now_ns:
                self.remove(rule.rule_id)
            elif (
                (rule.fault.kind == "latency") is is_latency
                and rule.matches(bot_id, method, counts=counts)
                and (rule.fault.share >= 1 or random.random() < rule.fault.share)
            ):
                self._use_up(rule)
                return rule.fault
        return None

    def _use_up(self, rule: Rule) -> None:
        if rule.left is None:
            return
        rule.left -= 1
        if rule.left == 0:
            self.remove(rule.rule_id)
