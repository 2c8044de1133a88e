"""A call that is to be submitted, with what its update and the blocks around it say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tempogram.api.core.ports import Refusal
from tempogram.api.usecases.submissions import client_key
from tempogram.bot.calls.answers import is_answered_with_a_value, not_accepted
from tempogram.bot.calls.call_options import CallOptions
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.bot.telegram.methods import QUEUED, UNCOUNTED, Rule
from tempogram.bot.telegram.update_context import UpdateContext


@dataclass(frozen=True, slots=True)
class Intent:
    """A call that is to be submitted.

    Attributes:
        options: Its ``dedup_key`` is as the ledger has it.
        user_id: Who triggered it; None: no user did.
    """

    method: AnyMethod
    rule: Rule
    options: CallOptions
    user_id: int | None


def intent_of(method: AnyMethod, options: CallOptions) -> Intent | Exception:
    """Return the intent of a call, or why it is not submitted. See ``intent_by_rule``."""
    rule = QUEUED.get(method.__api_method__)
    if rule is None:
        return not_accepted(method, Refusal(f"{method.__api_method__} does not pass the queue; await bot(method)"))
    return intent_by_rule(method, rule, options)


def intent_by_rule(method: AnyMethod, rule: Rule, options: CallOptions) -> Intent:
    """Return the intent of a call. To be asked before the first ``await`` of the call: it counts those of its update.

    A block of a handler says more than the update.
    """
    context = update_context.current()
    key = _key(method, rule, options, context)
    if context is None:
        return Intent(method, rule, replace(options, dedup_key=key), None)
    chosen = replace(options, priority=options.priority or context.priority, dedup_key=key)
    return Intent(method, rule, chosen, context.user_id)


def _key(method: AnyMethod, rule: Rule, options: CallOptions, context: UpdateContext | None) -> str | None:
    """Return the key under which a call is accepted once; None: it is accepted each time."""
    name = method.__api_method__
    if options.dedup_key is not None:
        return client_key(options.dedup_key)
    if context is None or (name in UNCOUNTED and is_answered_with_a_value(method)):
        return None
    where = {param: getattr(method, param, None) for param in ("chat_id", "inline_message_id")}
    return context.next_key(name, rule.chat_id(where))
