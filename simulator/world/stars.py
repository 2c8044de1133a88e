"""The Telegram Stars of a bot: what users paid, and what was billed for paid broadcasts.

Source: https://core.telegram.org/bots/api#startransaction
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

Json = dict[str, Any]

NANOSTARS = 1_000_000_000

NANOSTARS_A_MESSAGE = NANOSTARS // 10
"""Source: https://core.telegram.org/bots/faq#how-can-i-message-all-of-my-bot-39s-subscribers-at-once"""

TRANSACTIONS_MAX = 100
"""In one answer."""


@dataclass(slots=True)
class Stars:
    """The transactions of one bot, oldest first."""

    transactions: list[Json] = field(default_factory=list)
    balance_nano: int = 0

    def bill(self, messages: int, *, at_s: int) -> None:
        """Bill messages above the free rate. Those of one second are one transaction; Telegram does not say of which.

        Source: https://core.telegram.org/bots/api#transactionpartnertelegramapi
        """
        last = self.transactions[-1] if self.transactions else {}
        if last.get("date") != at_s or last.get("receiver", {}).get("type") != "telegram_api":
            last = _transaction(0, at_s, receiver={"type": "telegram_api", "request_count": 0})
            self.transactions.append(last)
        last["receiver"]["request_count"] += messages
        amount, nano = divmod(last["receiver"]["request_count"] * NANOSTARS_A_MESSAGE, NANOSTARS)
        last["amount"] = amount
        last.pop("nanostar_amount", None)
        if nano:
            last["nanostar_amount"] = nano
        self.balance_nano -= messages * NANOSTARS_A_MESSAGE

    def receive(self, amount: int, *, of: Json, payload: str, charge_id: str, at_s: int) -> None:
        """Take what a user paid for an invoice."""
        user = {"type": "user", "transaction_type": "invoice_payment", "user": of, "invoice_payload": payload}
        self.transactions.append(_transaction(amount, at_s, source=user) | {"id": charge_id})
        self.balance_nano += amount * NANOSTARS

    def page(self, *, offset: int, limit: int) -> list[Json]:
        """Return transactions in chronological order, without the first ones."""
        return self.transactions[offset : offset + limit]

    @property
    def balance(self) -> Json:
        """Return the balance as a ``StarAmount``; both numbers have its sign."""
        amount, nano = divmod(abs(self.balance_nano), NANOSTARS)
        sign = -1 if self.balance_nano < 0 else 1
        return {"amount": sign * amount} | ({"nanostar_amount": sign * nano} if nano else {})


def _transaction(amount: int, at_s: int, **partner: Json) -> Json:
    return {"id": f"sim-{uuid4().hex}", "amount": amount, "date": at_s} | partner
