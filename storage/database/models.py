"""The tables. Every time is integer milliseconds since the epoch.

    messages     one row per message, both directions          the history, and the ledger's state
    payloads     the parameters of an open or dead message     deleted when the message is settled
    attempts     one row per call                              the windows are rebuilt from it; see ``PRESUMED``
    handles      provisional numbers of messages               ``last_handles``: the last of each bot
    referrals    which message refers to, or waits for, which  deleted soon after it has ended
    updates      received updates                              one row per update
    holds        send nothing to a chat or from a bot until    ``chat_id`` '' is the whole bot
    bots         encrypted tokens, names, behaviours           ``paused`` and ``weight`` belong to the ledger
    chats        reachable or why not, aliases, last message; what a bot says there for a business has its own row
    chat_tags    tags of chats
    campaign_claims  which campaign has written to which chat on which local date    the fence of its messages
    watch_items  what is watched, and what is known of it    ``attempted_at_ms`` is the fence of its checks
    watch_subscriptions  which chats watch which items
    watch_observations  what was observed of items           only what differed from before
    watch_notices  changes of which a chat is not notified yet    ``digest_at_ms``: the message that has them
    watch_paces  sources whose pace is slowed
    watch_plans  how many items a chat may watch             ``watch_members``: which chat has which
    broadcasts   what each is to do, and how far it is       what its recipients have become is counted here;
                                                             ``media``: whose attachments its files are
    broadcast_recipients  each chat of a broadcast           its row is the fence: one message of a round
    limits       changes to the environment's limits           one row; each change raises the version
    services     changes to what is declared of services    each raises its version, and so does another declaration
    call_uses    what of long windows of services is used    deleted when no window is that long
    tasks        when each task is due, and how it goes      ``due_at_ms`` is the fence of its runs
    sweeps       how far each sweep and each named bulk is     ``run`` is the fence of a bulk's calls
    bulk_marks   items of bulks that failed, or were under way at a kill
    task_runs    the last runs of each task                  ``slot`` is the run's number modulo their number
    loop_beats   which loops of which processes run          each process writes its own
    alerts       what is wrong, or was                       one row each; one open of a kind and key
    alert_notices  what is said of alerts, for each channel  ``attempts`` is the fence of its tries
    alert_sightings  what processes find in themselves       each writes its own
    texts        recent texts, for text generators             bounded by time and per chat
    attachments  which files a message or a broadcast has      ``needs_bytes``: it needs their bytes
    uploads      a file that is stored whole                   deleted when none needs it
    upload_parts the bytes of a file, in rows of 1 MiB
    file_ids     Telegram's ids of files                       deleted with the last message that has the file
    epochs       which queue leases come from                  one row; none is epoch 0
    users        people with a name and a role               ``folded_name``: two names differ in more than case
    api_tokens   what programs are let in by                 ``digest``: see ``storage.identity.secrets``
    login_links  what a user is let in by once               deleted when it is used
    api_sessions  what browsers are let in by                ``expires_at`` is named as in its indexes
    erased_chats  chats that are not written to any more       a keyed digest each, see ``storage.privacy``
    totals       what is counted over all processes             one row each; only ever grows
    fsm_states   aiogram's states and their data               ``…_before``: what the update of ``update_id`` found

``payloads``, ``attempts`` and ``attachments`` have no foreign key: PostgreSQL would look up and lock the
message's row for each of theirs, which is a third of the work. What deletes a message deletes them, too
(``messages``, ``retention``).

A change here needs a migration; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
    text,
    true,
)

from tempogram.engine.model.messages import PARKED_MS

IS_OPEN = text("status IN ('queued', 'sending')")
"""Written once: SQLite uses a partial index only if the query repeats its text."""

IS_OPEN_WITH_TAG = text("tag IS NOT NULL AND status IN ('queued', 'sending')")

IS_PAST_REPLAY = text("status NOT IN ('queued', 'sending', 'dead')")
"""It will never be sent (again), so what only a call needs is deleted."""

IS_PARKED = text(f"settled_at_ms IS NULL AND ready_at_ms = {PARKED_MS}")
IS_DEAD = text("status = 'dead'")
IS_PAID = text("is_paid")
IS_SHARED = text("substr(chat_id, 1, 1) IN ('-', '@')")
"""The chat is a group or a channel. In a private chat each bot counts for itself."""

IS_NUMBERED = text(f"telegram_message_id IS NOT NULL AND {IS_SHARED.text}")
IS_NUMBERED_OUT = text("telegram_message_id IS NOT NULL AND direction = 'out'")
IS_IN = text("direction = 'in'")
IS_OUT = text("direction = 'out'")
IS_RECEIVED = text("status = 'received'")
IS_CLEARED = text("state IS NULL AND data IS NULL")
HAS_NOT_ENDED = text("ended_at_ms = 0")
IS_UNSUBMITTED = text("message_id IS NULL")
IS_PENDING = text("chat_id IS NOT NULL")
IS_ALIAS = text("alias_of IS NOT NULL")
IS_IN_NO_DIGEST = text("digest_at_ms = 0")
IS_IN_A_DIGEST = text("digest_at_ms > 0")
IS_FAILING = text("failures > 0")
IS_WAITING = text("message_id IS NULL AND outcome IS NULL")
IS_UNDER_WAY = text("message_id IS NOT NULL AND outcome IS NULL")
HAS_FAILED = text("outcome IN ('dead', 'expired', 'refused')")
IS_ACTIVE = text("is_active")
HAS_MEDIA = text("media IS NOT NULL")

PRESUMED = ""
"""The ``attempts.message_id`` of a call that is not recorded, but may have been made."""

LOST = "lost"
"""The ``attempts.outcome`` of a call whose worker lost its lease."""

THROTTLED = "throttled"
"""The ``attempts.outcome`` of a call that Telegram put off."""

UNCERTAIN, FAILED, MIGRATED = "uncertain", "failed", "migrated"
"""The ``attempts.outcome`` of a call without an answer, of a host that failed, and of a group that has moved."""

metadata = MetaData(naming_convention={"pk": "%(table_name)s_key"})

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("direction", Text, nullable=False),
    Column("bot_id", BigInteger, nullable=False),
    Column("chat_id", Text),
    Column("method", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("cost", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("guarantee", Text, nullable=False),
    Column("dedup_key", Text),
    Column("attempt", Integer, nullable=False),
    Column("submitted_at_ms", BigInteger, nullable=False),
    Column("ready_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("settled_at_ms", BigInteger),
    Column("telegram_message_id", BigInteger),
    Column("reason", Text),
    Column("replaces", Text),
    Column("user_id", BigInteger),
    Column("is_paid", Boolean, nullable=False, server_default=false()),
    Column("sending_since_ms", BigInteger),  # by the database's clock; valid while it is ``sending``
    Column("item_ids", JSON(none_as_null=True)),  # Telegram's numbers of an album's items
    Column("tag", Text),
    CheckConstraint("direction IN ('in', 'out')", name="direction_is_known"),
    CheckConstraint(
        "status IN ('queued', 'sending', 'sent', 'dead', 'cancelled', 'expired', 'uncertain', 'received')",
        name="status_is_known",
    ),
    CheckConstraint("(direction = 'in') = (status = 'received')", name="only_incoming_is_received"),
    CheckConstraint(
        "(status IN ('queued', 'sending')) = (settled_at_ms IS NULL)",
        name="settled_has_time",
    ),
    CheckConstraint("status <> 'dead' OR reason IS NOT NULL", name="dead_has_reason"),
    CheckConstraint("attempt >= 0", name="attempt_is_not_negative"),
    Index(
        "messages_once_in",
        "bot_id",
        "dedup_key",
        unique=True,
        sqlite_where=text("dedup_key IS NOT NULL"),
        postgresql_where=text("dedup_key IS NOT NULL"),
    ),
    Index("messages_open", "id", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
    Index("messages_parked", "id", sqlite_where=IS_PARKED, postgresql_where=IS_PARKED),
    Index("messages_open_with_tag", "tag", "id", sqlite_where=IS_OPEN_WITH_TAG, postgresql_where=IS_OPEN_WITH_TAG),
    Index("messages_dead", "id", sqlite_where=IS_DEAD, postgresql_where=IS_DEAD),
    Index("messages_dead_by_time", "settled_at_ms", sqlite_where=IS_DEAD, postgresql_where=IS_DEAD),
    Index("messages_of_chat", "bot_id", "chat_id", "id"),
    # Partial: a message is entered once it has Telegram's number, and only where its direction is looked up.
    Index(
        "ix_messages_chat_telegram_msg",
        "chat_id",
        "telegram_message_id",
        sqlite_where=IS_NUMBERED,
        postgresql_where=IS_NUMBERED,
    ),
    Index(
        "ix_messages_reply_lookup",
        "chat_id",
        "bot_id",
        "telegram_message_id",
        sqlite_where=IS_NUMBERED_OUT,
        postgresql_where=IS_NUMBERED_OUT,
    ),
    Index(
        "ix_messages_incoming",
        "bot_id",
        "submitted_at_ms",
        "chat_id",
        sqlite_where=IS_IN,
        postgresql_where=IS_IN,
    ),
    sqlite_with_rowid=False,  # ids ascend, so the table itself is the index by id
)

payloads = Table(
    "payloads",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("params", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    # The order of the calls; ``attempt`` does not give it, because a 429 spends no attempt.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("message_id", Text, nullable=False),
    Column("bot_id", BigInteger, nullable=False),
    Column("chat_id", Text),
    Column("cost", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("started_at_ms", BigInteger),
    Column("counted_at_ms", BigInteger),
    Column("recorded_at_ms", BigInteger, nullable=False),
    Column("code", Integer),
    Column("reason", Text),
    Column("delivered_items", Integer),  # of an album that did not arrive as a whole
    Column("is_paid", Boolean, nullable=False, server_default=false()),
    Index("attempts_of_message", "message_id"),
    Index(
        "attempts_counted",
        "counted_at_ms",
        sqlite_where=text("counted_at_ms IS NOT NULL"),
        postgresql_where=text("counted_at_ms IS NOT NULL"),
    ),
    Index(
        "attempts_paid",
        "counted_at_ms",
        sqlite_where=IS_PAID,
        postgresql_where=IS_PAID,
    ),
)

handles = Table(
    "handles",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("message_id", Text, nullable=False),
    Column("item", Integer, nullable=False),  # from the end: -1 is the last
    CheckConstraint("number < 0", name="handle_is_negative"),
    CheckConstraint("item < 0", name="item_is_from_the_end"),
    Index("handles_of_message", "message_id", "item", unique=True),
)

last_handles = Table(
    "last_handles",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)

referrals = Table(
    "referrals",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("target_id", Text, primary_key=True),
    Column("is_named", Boolean, nullable=False),  # False: it only goes after it
    Index("referrals_of_target", "target_id"),
)

updates = Table(
    "updates",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("update_id", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("status", Text, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("owner", BigInteger, nullable=False, server_default="0"),  # the process that handles it
    Column("handled_at_ms", BigInteger),
    Column("reason", Text),
    CheckConstraint("status IN ('received', 'handled', 'failed')", name="update_status_is_known"),
    CheckConstraint("(status = 'received') = (handled_at_ms IS NULL)", name="handled_has_time"),
    CheckConstraint("status <> 'failed' OR reason IS NOT NULL", name="failed_has_reason"),
    Index(
        "updates_received",
        "received_at_ms",
        "update_id",
        "bot_id",
        sqlite_where=IS_RECEIVED,
        postgresql_where=IS_RECEIVED,
    ),
    Index(
        "updates_handled",
        "handled_at_ms",
        sqlite_where=text("handled_at_ms IS NOT NULL"),
        postgresql_where=text("handled_at_ms IS NOT NULL"),
    ),
)

holds = Table(
    "holds",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("chat_id", Text, primary_key=True),
    Column("until_ms", BigInteger, nullable=False),
    Column("since_ms", BigInteger),  # None: it was written before this column existed
    Index("holds_until", "until_ms"),
)

totals = Table(
    "totals",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

bots = Table(
    "bots",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sealed_token", LargeBinary),  # None: paused or weighed before it was added
    Column("sealed_webhook_secret", LargeBinary),
    Column("sealed_next_webhook_secret", LargeBinary),  # while the secret changes both are valid
    Column("webhook_told", Text),  # the fingerprint of what Telegram accepted last; None: we set none
    Column("updates", Text),  # None: as the settings say
    Column("removal", Text),  # None: it runs, or was never added
    Column("username", Text, nullable=False, server_default=""),
    Column("first_name", Text, nullable=False, server_default=""),
    Column("behaviours", JSON, nullable=False, server_default="{}"),
    Column("behaviours_by", Text, nullable=False, server_default="earlier"),
    Column("defaults", JSON, nullable=False, server_default="{}"),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("weight", Integer, nullable=False, server_default="1"),
    Column("added_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("paused_by", Text),  # None: not paused, or paused by an operator before this column existed
    CheckConstraint("weight >= 1", name="weight_is_at_least_1"),
    CheckConstraint("updates IN ('webhook', 'polling', 'none')", name="source_is_known"),
    CheckConstraint("removal IN ('keep', 'cancel', 'done')", name="removal_is_known"),
    CheckConstraint("removal IS NULL OR sealed_token IS NULL", name="removed_has_no_token"),
)

chats = Table(
    "chats",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("chat_id", Text, primary_key=True),
    Column("reachable", Boolean, nullable=False, server_default=true()),
    Column("reason", Text),
    Column("alias_of", Text),
    Column("alias_since_ms", BigInteger, nullable=False, server_default="0"),
    Column("last_message_in_at_ms", BigInteger),
    Column("last_message_out_at_ms", BigInteger),
    Column("title", Text),
    Column("type", Text),
    Column("time_zone", Text),
    Column("language", Text),
    Column("opted_out_at_ms", BigInteger),
    Column("quiet_from", Integer),  # minutes of the local day, as ``quiet_until``
    Column("quiet_until", Integer),
    CheckConstraint("reachable OR reason IS NOT NULL", name="unreachable_has_reason"),
    CheckConstraint("alias_of <> chat_id", name="alias_is_another_chat"),
    CheckConstraint("(quiet_from IS NULL) = (quiet_until IS NULL)", name="quiet_hours_have_both_ends"),
    Index("chats_by_alias", "bot_id", "alias_of", sqlite_where=IS_ALIAS, postgresql_where=IS_ALIAS),
    Index("chats_by_activity", "bot_id", "time_zone", "last_message_in_at_ms"),
)

chat_tags = Table(
    "chat_tags",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tag", Text, primary_key=True),
    Column("chat_id", Text, primary_key=True),
    Index("chat_tags_of_chat", "bot_id", "chat_id"),
    sqlite_with_rowid=False,
)

campaign_claims = Table(
    "campaign_claims",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("chat_id", Text, primary_key=True),
    Column("local_date", Text, primary_key=True),  # of the chat's zone
    Column("campaign", Text, primary_key=True),
    # The number of the message to this chat on this date, over all campaigns: two cannot both be the last one allowed.
    Column("slot", Integer, nullable=False),
    Column("zone", Text, nullable=False),
    Column("not_before_ms", BigInteger),
    Column("day_ends_ms", BigInteger, nullable=False),
    Column("claimed_at_ms", BigInteger, nullable=False),
    Column("message_id", Text),
    Column("first_key", Text),  # see ``engine.ports.audience.Claim``
    Index("campaign_claims_slots", "bot_id", "chat_id", "local_date", "slot", unique=True),
    Index(
        "campaign_claims_unsubmitted",
        "bot_id",
        "campaign",
        "chat_id",
        "local_date",
        sqlite_where=IS_UNSUBMITTED,
        postgresql_where=IS_UNSUBMITTED,
    ),
    Index("campaign_claims_by_end", "day_ends_ms"),
    sqlite_with_rowid=False,
)

watch_items = Table(
    "watch_items",
    metadata,
    Column("source", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("phase", BigInteger, nullable=False),
    Column("priority", BigInteger, nullable=False, server_default="1"),
    Column("viewed_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("checked_at_ms", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("attempted_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("not_before_ms", BigInteger, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("fields", JSON(none_as_null=True)),
    CheckConstraint("priority >= 1", name="watch_priority_is_at_least_1"),
    Index("watch_items_attempted", "source", "attempted_at_ms"),
    Index("watch_items_checked", "checked_at_ms"),
    Index("watch_items_failing", "source", sqlite_where=IS_FAILING, postgresql_where=IS_FAILING),
    sqlite_with_rowid=False,
)

watch_subscriptions = Table(
    "watch_subscriptions",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("chat_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("added_at_ms", BigInteger, nullable=False),
    Index("watch_subscriptions_of_item", "source", "key"),
    sqlite_with_rowid=False,
)

watch_observations = Table(
    "watch_observations",
    metadata,
    Column("source", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("before", JSON(none_as_null=True)),
    Column("fields", JSON(none_as_null=True), nullable=False),
    Index("watch_observations_by_time", "at_ms"),
    sqlite_with_rowid=False,
)

watch_notices = Table(
    "watch_notices",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("chat_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("digest_at_ms", BigInteger, nullable=False, server_default="0"),
    Index("watch_notices_by_time", "at_ms"),
    Index("watch_notices_due", "due_at_ms", sqlite_where=IS_IN_NO_DIGEST, postgresql_where=IS_IN_NO_DIGEST),
    Index("watch_notices_digests", "digest_at_ms", sqlite_where=IS_IN_A_DIGEST, postgresql_where=IS_IN_A_DIGEST),
    sqlite_with_rowid=False,
)

watch_paces = Table(
    "watch_paces",
    metadata,
    Column("source", Text, primary_key=True),
    Column("pause_ms", BigInteger, nullable=False),
)

watch_plans = Table(
    "watch_plans",
    metadata,
    Column("name", Text, primary_key=True),
    Column("items_max", Integer, nullable=False),
    Column("interval_ms", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("is_open", Boolean, nullable=False, server_default=false()),
    CheckConstraint("items_max >= 0", name="watch_items_max_is_not_negative"),
    CheckConstraint("interval_ms > 0", name="watch_interval_is_positive"),
)

watch_members = Table(
    "watch_members",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("chat_id", Text, primary_key=True),
    Column("plan", Text),  # None: that of the settings
    sqlite_with_rowid=False,
)

broadcasts = Table(
    "broadcasts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("bot_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("plan", LargeBinary, nullable=False),  # JSON
    Column("state", Text, nullable=False),
    Column("is_gathered", Boolean, nullable=False, server_default=false()),
    Column("gathered_to", Text, nullable=False, server_default=""),
    Column("is_retrying", Boolean, nullable=False, server_default=false()),
    Column("is_active", Boolean, nullable=False, server_default=false()),
    Column("recipients", BigInteger, nullable=False, server_default="0"),
    Column("sent", BigInteger, nullable=False, server_default="0"),
    Column("dead", BigInteger, nullable=False, server_default="0"),
    Column("cancelled", BigInteger, nullable=False, server_default="0"),
    Column("expired", BigInteger, nullable=False, server_default="0"),
    Column("uncertain", BigInteger, nullable=False, server_default="0"),
    Column("unreachable", BigInteger, nullable=False, server_default="0"),
    Column("opted_out", BigInteger, nullable=False, server_default="0"),
    Column("daily_cap", BigInteger, nullable=False, server_default="0"),
    Column("refused", BigInteger, nullable=False, server_default="0"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("started_at_ms", BigInteger),
    Column("ended_at_ms", BigInteger),
    Column("media", Text),
    Column("problem", Text),
    Column("purse_places", BigInteger),
    Column("nanostars_billed", BigInteger),
    Column("stars_asked_at_ms", BigInteger),
    CheckConstraint("state IN ('draft', 'running', 'paused', 'done', 'cancelled')", name="broadcast_state_is_known"),
    Index("broadcasts_active", "id", sqlite_where=IS_ACTIVE, postgresql_where=IS_ACTIVE),
    Index("broadcasts_ended", "ended_at_ms"),
    Index("broadcasts_media", "media", sqlite_where=HAS_MEDIA, postgresql_where=HAS_MEDIA),
    sqlite_autoincrement=True,  # an id that is used again would make new messages known
)

broadcast_recipients = Table(
    "broadcast_recipients",
    metadata,
    Column("broadcast_id", BigInteger, primary_key=True, autoincrement=False),
    Column("chat_id", Text, primary_key=True),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("round", Integer, nullable=False, server_default="0"),
    Column("message_id", Text),
    Column("outcome", Text),
    Index(
        "broadcast_recipients_waiting",
        "broadcast_id",
        "due_at_ms",
        "chat_id",
        sqlite_where=IS_WAITING,
        postgresql_where=IS_WAITING,
    ),
    # Of two columns each, as SQLite would rather read all recipients by the primary key than use one of one column.
    Index(
        "broadcast_recipients_under_way",
        "broadcast_id",
        "message_id",
        sqlite_where=IS_UNDER_WAY,
        postgresql_where=IS_UNDER_WAY,
    ),
    Index(
        "broadcast_recipients_failed",
        "broadcast_id",
        "outcome",
        sqlite_where=HAS_FAILED,
        postgresql_where=HAS_FAILED,
    ),
    sqlite_with_rowid=False,
)

limits = Table(
    "limits",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=true()),
    Column("version", BigInteger, nullable=False),
    Column("changes", JSON, nullable=False),
    CheckConstraint("one", name="limits_are_one_row"),
)

texts = Table(
    "texts",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("update_id", BigInteger, primary_key=True, autoincrement=False),
    Column("by_bot", Boolean, primary_key=True),
    Column("chat_id", Text, nullable=False),
    Column("speaker", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("said_at_ms", BigInteger, nullable=False),
    Index("texts_of_chat", "bot_id", "chat_id", "said_at_ms"),
    Index("texts_said", "said_at_ms"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

attachments = Table(
    "attachments",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("kind", Text),
    Column("needs_bytes", Boolean, nullable=False),
    Index("attachments_of_file", "sha256", "needs_bytes"),
)

file_ids = Table(
    "file_ids",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("file_id", Text, nullable=False),
    Index("file_ids_of_file", "sha256"),
)

services = Table(
    "services",
    metadata,
    Column("name", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("changes", JSON, nullable=False),
    Column("declared", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("name", name="services_key"),
)

call_uses = Table(
    "call_uses",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("limiter", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", name="call_uses_key"),
    Index("call_uses_by_limiter", "limiter", "at_ms"),
    Index("call_uses_by_time", "at_ms"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("name", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("times", Text, nullable=False),
    Column("is_declared", Boolean, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("next_due_ms", BigInteger, nullable=False),
    Column("anchor_ms", BigInteger, nullable=False),
    Column("interval_ms", BigInteger, nullable=False),
    Column("chosen_interval_ms", BigInteger, nullable=False),
    Column("is_paused", Boolean, nullable=False),
    Column("paused_until_ms", BigInteger, nullable=False),
    Column("run_at_ms", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    Column("run_number", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("run_due_ms", BigInteger, nullable=False),
    Column("run_by", Text, nullable=False),
    Column("run_since_ms", BigInteger, nullable=False),
    Column("run_repeats", Integer, nullable=False),
    Column("run_until_ms", BigInteger, nullable=False),
    Column("last_run_ms", BigInteger, nullable=False),
    Column("last_success_ms", BigInteger, nullable=False),
    Column("last_duration_ms", BigInteger, nullable=False),
    Column("last_result", Text, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("successes", BigInteger, nullable=False),
    Column("is_failing", Boolean, nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("timed_out", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("overruns", BigInteger, nullable=False),
    Column("missed", BigInteger, nullable=False),
    PrimaryKeyConstraint("name", name="tasks_key"),
    Index("tasks_changed", "changed_at_ms"),
    Index("tasks_run_by", "run_by"),
)

task_runs = Table(
    "task_runs",
    metadata,
    Column("name", Text, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("result", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("process", Text, nullable=False),
    PrimaryKeyConstraint("name", "slot", name="task_runs_key"),
)

loop_beats = Table(
    "loop_beats",
    metadata,
    Column("process", Text, nullable=False),
    Column("loop", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("every_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("process", "loop", name="loop_beats_key"),
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("name", Text, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("last", Text, nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("under_way", Text, nullable=False, server_default=""),
    Column("items_crc", BigInteger, nullable=False, server_default="0"),
    Column("run", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("name", name="sweeps_key"),
)

bulk_marks = Table(
    "bulk_marks",
    metadata,
    Column("name", Text, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("was_under_way", Boolean, nullable=False),
    Column("is_given_up", Boolean, nullable=False),
    Column("error", Text, nullable=False),
    PrimaryKeyConstraint("name", "index", name="bulk_marks_key"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("said_at_ms", BigInteger, nullable=False),
    Column("reminded_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger, nullable=False),
    Column("end_said_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", name="alerts_key"),
    Index("alerts_open", "kind", "key", unique=True, sqlite_where=HAS_NOT_ENDED, postgresql_where=HAS_NOT_ENDED),
    Index("alerts_ended", "ended_at_ms"),
)

alert_notices = Table(
    "alert_notices",
    metadata,
    Column("id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("said", Text, nullable=False),  # JSON
    Column("at_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try_ms", BigInteger, nullable=False),
    Column("is_set_aside", Boolean, nullable=False),
    Column("ended_at_ms", BigInteger, nullable=False),
    Column("is_accepted", Boolean, nullable=False),
    Column("error", Text, nullable=False),
    PrimaryKeyConstraint("id", "channel", name="alert_notices_key"),
    Index("alert_notices_waiting", "channel", "id", sqlite_where=HAS_NOT_ENDED, postgresql_where=HAS_NOT_ENDED),
    Index("alert_notices_ended", "ended_at_ms"),
)

alert_sightings = Table(
    "alert_sightings",
    metadata,
    Column("process", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("process", "kind", "key", name="alert_sightings_key"),
    Index("alert_sightings_at", "at_ms"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("before", Text, nullable=False),  # JSON
    Column("after", Text, nullable=False),  # JSON
    PrimaryKeyConstraint("id", name="audit_key"),
    Index("audit_who", "who", "id"),
    Index("audit_target", "target", "id"),
)

identity = Table(
    "identity",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("ledger_id", Text, nullable=False),
    Column("key_check", LargeBinary),  # sealed by the SECRET_KEY of all processes
    Column("key_fingerprint", BigInteger),  # of that key; None: no process of this version has started yet
    Column("changing_from", BigInteger),  # the fingerprints of two keys while that is changed
    Column("changing_to", BigInteger),
    Column("sealed_erasure_key", LargeBinary),  # of the digests in ``erased_chats``
    CheckConstraint("id = 1", name="there_is_one_identity"),
)

epochs = Table(
    "epochs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("begun_by", Text, nullable=False),
    Column("form", Integer, nullable=False, server_default="0"),
    Column("bypassed", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("id = 1", name="there_is_one_epoch"),
    CheckConstraint("source IN ('redis', 'keeper')", name="epoch_source_is_known"),
)

fsm_states = Table(
    "fsm_states",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("chat_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("thread_id", BigInteger, primary_key=True, autoincrement=False),  # 0: none
    Column("business_connection_id", Text, primary_key=True),  # '': none
    Column("destiny", Text, primary_key=True),
    Column("state", Text),
    Column("data", LargeBinary),  # JSON; None: there is none
    Column("update_id", BigInteger),  # the update that changed it last; None: it was changed outside of any handler
    Column("run", BigInteger),  # tells a second run of that update's handlers from the first
    Column("state_before", Text),
    Column("data_before", LargeBinary),
    CheckConstraint("(update_id IS NULL) = (run IS NULL)", name="run_is_of_an_update"),
    Index("fsm_states_cleared", "update_id", sqlite_where=IS_CLEARED, postgresql_where=IS_CLEARED),
)

HAS_KNOWN_ROLE = "role IN ('viewer', 'operator', 'admin')"

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("folded_name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_digest", Text),  # None: none was chosen yet
    Column("is_active", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    CheckConstraint(HAS_KNOWN_ROLE, name="user_role_is_known"),
    Index("users_named", "folded_name", unique=True),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("user_id", Text),  # None: it belongs to no user
    Column("bots", JSON(none_as_null=True)),  # None: all
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("last_used_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
    Column("key_fingerprint", BigInteger),  # of the digest's key; None: unknown
    CheckConstraint(HAS_KNOWN_ROLE, name="token_role_is_known"),
    Index("api_tokens_of_user", "user_id"),
)

login_links = Table(
    "login_links",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("key_fingerprint", BigInteger),  # of the digest's key; None: unknown
    Index("login_links_of_user", "user_id"),
    Index("login_links_expire", "expires_at_ms"),
)

api_sessions = Table(
    "api_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("token_id", Text, nullable=False),  # the id in the cookie
    Column("digest", LargeBinary, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ends_at_ms", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("key_fingerprint", BigInteger),  # of the digest's key; None: unknown
    Index("ix_sessions_token_active_expires", "token_id", "is_active", "expires_at"),
    Index("ix_sessions_expires_active", "expires_at", "is_active"),
    Index("api_sessions_of_user", "user_id"),
)

erased_chats = Table(
    "erased_chats",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("bot_id", BigInteger),  # of the chat, as ``chat_id``, until its erasure is finished
    Column("chat_id", Text),
    Column("erased_at_ms", BigInteger, nullable=False),
    Index("erased_chats_pending", "erased_at_ms", sqlite_where=IS_PENDING, postgresql_where=IS_PENDING),
)
