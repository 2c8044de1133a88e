"""Every environment variable, read once and validated at the start."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tempogram.api.core.redaction import short, without_tokens
from tempogram.api.security import principals
from tempogram.bot.alerts import signature, smtp
from tempogram.bot.config import urls
from tempogram.bot.config.logging import LogFormat
from tempogram.bot.config.secret_files import SecretFiles
from tempogram.bot.proxy.address import Proxy, parse_proxy
from tempogram.bot.telegram.tokens import LOOKS_LIKE, is_token
from tempogram.bot.updates.order import Order
from tempogram.engine.alerts import quiet_hours
from tempogram.engine.alerts.kinds import KINDS, URGENT
from tempogram.engine.alerts.notices import When
from tempogram.engine.limits.limits import DAY_MS, GUARD_IN_DOUBT_MS, PLACES_A_STAR, Limit, Limits
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.watches import HOUR_MS, Preset, WatchRules
from tempogram.engine.model.zones import zone_of
from tempogram.engine.resilience.backoff import RetryPolicy

HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")

CHAT = re.compile(r"-?[0-9]{1,19}|@[A-Za-z][A-Za-z0-9_]{3,31}")
"""Source: https://core.telegram.org/bots/api#sendmessage"""

Value = TypeVar("Value")

UTC = ZoneInfo("UTC")

EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - recognised here, not listened on


class Settings(BaseSettings):
    """Every environment variable. ``.env.example`` lists the same ones, in this order.

    Those with ``repr=False`` are secrets, or hold one: they may stand in a file, and are quoted nowhere.
    """

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True, allow_inf_nan=False
    )

    telegram_api_url: str = Field("https://api.telegram.org", description="Where the Bot API is.")
    telegram_proxy: SecretStr = Field(
        SecretStr(""),
        repr=False,
        description="http://host:port or socks5://user:password@host:port, on the way to the Bot API; none: directly.",
    )
    bot_tokens: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        repr=False,
        description="Bots to run, comma-separated. None: the simulator is started, with bots of its own.",
    )
    database_url: str = Field(
        "", repr=False, description="sqlite+aiosqlite:///… or postgresql+asyncpg://…; none: a file in DATA_DIR."
    )
    data_dir: Path = Field(Path("data"), description="Where the SQLite file and the generated keys lie.")
    redis_url: str = Field(
        "", repr=False, description="redis://…: the queue is there, for any number of processes; none: in this one."
    )
    admin_token: SecretStr = Field(
        SecretStr(""),
        repr=False,
        description="Bearer token of the API, of 16 characters at least; none: one is made and kept.",
    )
    operator_token: SecretStr = Field(
        SecretStr(""), repr=False, description="Another one, that submits, cancels, replays and pauses; none: no such."
    )
    viewer_token: SecretStr = Field(
        SecretStr(""), repr=False, description="Another one, that only reads, for Prometheus; none: no such."
    )
    secret_key: SecretStr = Field(
        SecretStr(""), repr=False, description="Encrypts bot tokens; none: one is made and kept."
    )
    former_secret_key: SecretStr = Field(
        SecretStr(""), repr=False, description="The SECRET_KEY before, while it is changed; none: there is one key."
    )
    trusted_user_header: str = Field(
        "", description="A header in which a proxy names the user whom it has logged in; none: no proxy is believed."
    )
    trusted_user_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses or networks of the proxies that are believed, comma-separated."
    )
    public_url: str = Field("", description="Where Telegram reaches us; none: updates are fetched by polling.")
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 takes a free one.")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port at which a worker or scheduler tells its health and metrics; 0: a free one.",
    )
    bot_api_door: bool = Field(
        default=False,
        description="true: the Bot API is served here; a client that is given this address as Telegram's is paced.",
    )
    bot_api_door_wait: float = Field(
        3, ge=0, le=600, description="Seconds a call through it waits for a place; then it is answered with 429."
    )
    bot_api_door_calls: int = Field(
        2_000, ge=8, le=100_000, description="Calls through it that wait at once; one bot has three quarters."
    )
    bot_api_door_connections: int = Field(
        500, ge=8, le=100_000, description="Calls that it passes on to Telegram at once; one bot has three quarters."
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat = Field(
        LogFormat.AUTO,
        description="auto, conversation, json or console; auto: the conversation on a terminal, JSON elsewhere.",
    )
    behaviours: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Modules of one's own, comma-separated; the bots of BOT_TOKENS have them, others choose."
    )
    bot_parse_mode: str = Field(
        "", description="HTML, MarkdownV2 or Markdown: of every bot without one of its own; none: plain texts."
    )
    bot_disable_notification: bool | None = Field(
        None, description="true: messages of bots without a choice of their own arrive without a sound."
    )
    bot_protect_content: bool | None = Field(
        None, description="true: messages of bots without a choice of their own cannot be forwarded or saved."
    )
    bot_link_preview_is_disabled: bool | None = Field(
        None, description="true: texts of bots without a choice of their own have no link preview."
    )
    services_file: Path | None = Field(
        None,
        description="Services that are called, and their limits; none: services.toml in DATA_DIR, if there is one.",
    )
    rate_limit_enabled: bool = Field(
        default=True, description="false: no limit of a service holds; those of Telegram always do."
    )
    cache_mb: int = Field(
        64, ge=1, le=65_536, description="Megabytes of answers that are kept: of each process, or in Redis of all."
    )
    default_concurrency_limit: int = Field(
        10, ge=1, le=10_000, description="Calls of a service at once, where it declares no number."
    )
    default_rate_limit_window: int = Field(
        1_000, ge=1, le=2_678_400_000, description="Milliseconds: the window of a count that is declared without one."
    )
    llm_api_url: str = Field(
        "",
        repr=False,
        description="OpenAI-compatible, up to /v1; none: bots with the behaviour replies answer from templates.",
    )
    llm_api_key: SecretStr = Field(
        SecretStr(""), repr=False, description="Sent to LLM_API_URL as a bearer token; none: no token."
    )
    llm_model: str = Field("", description="The model's name there; needed with LLM_API_URL.")
    llm_timeout: float = Field(20, gt=0, le=600, description="Seconds to write one answer; then a template is said.")
    llm_keep_texts: float = Field(
        24, ge=0, le=8_760, description="Hours for which conversations are kept for LLM_API_URL; 0 = none is kept."
    )
    handlers_max: int = Field(
        200,
        ge=2,
        le=100_000,
        description="Handlers of updates that start while no more run; one bot has three quarters.",
    )
    handler_order: Order = Field(
        Order.USER,
        description="Updates handled one after another: of one user in a chat (user), or strictly of a chat (chat).",
    )
    handler_head_start_s: float = Field(
        1,
        ge=0,
        le=86_400,
        description="Seconds a handler runs before the next update of its user is handled beside it.",
    )
    handler_timeout_s: float = Field(
        0, ge=0, le=604_800, description="Seconds a handler may run, waits for the queue not counted; 0 = for ever."
    )
    telegram_rate_limit_wait: float | None = Field(
        None,
        ge=0,
        description="Seconds an awaited call waits for a place before it returns a handle; none: until it is sent.",
    )
    telegram_max_retries: int = Field(5, ge=0, le=100, description="Tries after the first, then a dead letter.")
    telegram_base_delay: float = Field(1.0, ge=0, description="Seconds before the first retry at the most.")
    telegram_max_delay: float = Field(60.0, ge=0, description="Seconds before any retry at the most.")
    telegram_timeout: float = Field(20, gt=0, le=600, description="Seconds one call to Telegram may take.")
    telegram_lease_margin: float = Field(
        10, ge=1, le=600, description="Seconds for which a message stays with its worker beyond TELEGRAM_TIMEOUT."
    )
    telegram_upload_mb: int = Field(
        50, ge=1, le=2_000, description="MiB that one uploaded file may have; more needs a Bot API server of one's own."
    )
    telegram_connections: int = Field(100, ge=1, le=10_000, description="Calls to Telegram under way at once.")
    telegram_global_limit: int = Field(30, ge=0, description="Messages over all bots in its window; 0 = no limit.")
    telegram_global_limit_window_s: float = Field(1, gt=0, description="Seconds.")
    telegram_global_burst: int = Field(
        0, ge=0, description="Messages over all bots at once, refilled at limit / window; 0 = only the window holds."
    )
    telegram_bot_limit: int = Field(30, ge=0, description="Messages of one bot in its window; 0 = no limit.")
    telegram_bot_limit_window_s: float = Field(1, gt=0, description="Seconds.")
    telegram_bot_burst: int = Field(
        0, ge=0, description="Messages of one bot at once, refilled at limit / window; 0 = only the window holds."
    )
    telegram_paid_limit: int = Field(
        1_000, ge=0, description="Messages of one bot with allow_paid_broadcast in its window; 0 = no limit."
    )
    telegram_paid_limit_window_s: float = Field(1, gt=0, description="Seconds.")
    telegram_paid_stars_cap: int = Field(
        0, ge=0, description="Stars that one bot may spend on them in 24 h, then they go as free ones; 0 = refused."
    )
    telegram_chat_limit: int = Field(1, ge=0, description="Messages to one private chat a window; 0 = no limit.")
    telegram_chat_limit_window_s: float = Field(1, gt=0, description="Seconds.")
    telegram_group_limit: int = Field(20, ge=0, description="Messages to one group in its window; 0 = no limit.")
    telegram_group_limit_window_s: float = Field(60, gt=0, description="Seconds.")
    telegram_group_burst: int = Field(
        0, ge=0, description="Messages to one group at once, refilled at limit / window; 0 = only the window holds."
    )
    telegram_user_limit: int = Field(
        0, ge=0, description="Messages that one user may make one bot say in its window; 0 = no limit."
    )
    telegram_user_limit_window_s: float = Field(60, gt=0, description="Seconds.")
    telegram_chat_burst: int = Field(3, ge=1, description="Messages to one private chat at once, after a pause.")
    telegram_window_guard_ms: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="Milliseconds a place stays taken beyond its window; none = as the measured round trips require.",
    )
    telegram_adapt_least: float = Field(
        0.3,
        gt=0,
        le=1,
        description="Share of a limit that a 429 leaves at least, for a while; 1 = all of it.",
    )
    telegram_max_retry_after: float = Field(300, ge=0, description="Seconds; a longer wait raises an alert.")
    queue_chat_cap: int = Field(10_000, ge=0, description="Messages that may wait for one chat; 0 = no cap.")
    queue_bot_cap: int = Field(1_000_000, ge=0, description="Messages that may wait for one bot; 0 = no cap.")
    retention_days: int = Field(
        30, ge=0, le=36_500, description="Days for which ended messages and their dedup keys are kept; 0 = for ever."
    )
    retention_dead_days: int = Field(
        90, ge=0, le=36_500, description="Days for which dead letters are kept; 0 = for ever."
    )
    audit_days: int = Field(
        365, ge=0, le=36_500, description="Days for which it is kept who changed what; 0 = for ever."
    )
    watch_preset: Preset = Field(
        Preset.SPREAD, description="Which watched items are due: spread, viewed, on_demand, priority or by_user."
    )
    watch_slots: int = Field(
        24, ge=1, le=24, description="Slots of a day, in one of which each item is checked; 24, or 6 of four hours."
    )
    watch_gap_ms: int = Field(
        500, ge=0, le=3_600_000, description="Milliseconds between two calls of a source; by priority twice as many."
    )
    watch_viewed_days: int = Field(7, ge=1, le=365, description="Days for which a view counts, for viewed.")
    watch_cache_h: int = Field(
        24, ge=1, le=8_760, description="Hours after which a view asks the source again, for on_demand."
    )
    watch_hourly: int = Field(
        100, ge=1, le=100_000, description="Items of a source that are checked an hour, for priority."
    )
    watch_active_days: int = Field(
        30, ge=1, le=3_650, description="Days for which a chat is active after its last message, for by_user."
    )
    watch_plan: str = Field(
        "standard", description="Plan of chats without one of their own: standard (50 items), free (10) or paid (100)."
    )
    watch_debounce_s: float = Field(
        60, ge=0, le=86_400, description="Seconds from a change to its digest, which has all changes between."
    )
    alert_slack_url: str = Field(
        "", repr=False, description="Slack's incoming webhook, https://hooks.slack.com/…; none: no alert goes there."
    )
    alert_webhook_url: str = Field(
        "", repr=False, description="Where alerts are posted as plain JSON; none: to no such place."
    )
    alert_webhook_secret: SecretStr = Field(
        SecretStr(""), repr=False, description="whsec_…: signs them after Standard Webhooks; none: they are not signed."
    )
    alert_bot: int | None = Field(
        None, ge=1, description="The id of the bot that sends alerts to ALERT_CHAT; none: no bot does."
    )
    alert_chat: str = Field("", description="The id of the operators' chat, or @name of a channel; needs ALERT_BOT.")
    alert_smtp_url: SecretStr = Field(
        SecretStr(""),
        repr=False,
        description="smtp://user:password@host:587 or smtps://…:465; none: alerts are not mailed.",
    )
    alert_mail_from: str = Field("", description="The sender of these mails; needed with ALERT_SMTP_URL.")
    alert_mail_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Their receivers, comma-separated; needed with ALERT_SMTP_URL."
    )
    alert_check_s: float = Field(15, ge=1, le=3_600, description="Seconds between two checks for what is wrong.")
    alert_after: int = Field(
        2, ge=1, le=1_000, description="Checks in a row after which an outage is said, and its end; others are at once."
    )
    alert_remind_s: float = Field(
        0, ge=0, le=2_678_400, description="Seconds after which it is said that an alert lasts; 0 = never."
    )
    alert_quiet_hours: str = Field(
        "", description="As in 22:00-07:00: alerts that are not urgent wait for their end; none: no quiet hours."
    )
    alert_time_zone: str = Field("UTC", description="The time zone of ALERT_QUIET_HOURS, such as Europe/Berlin.")
    alert_urgent: Annotated[tuple[str, ...], NoDecode] = Field(
        tuple(sorted(URGENT)), description="Kinds of alerts that are said in quiet hours, too, comma-separated."
    )
    alert_dead_letters: int = Field(
        10, ge=0, description="Messages given up within 10 minutes that are worth an alert; 0 = no number is."
    )
    alert_backlog: int = Field(
        10_000, ge=0, description="Waiting messages whose number keeps rising that are worth an alert; 0 = none are."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a folder of files is not offered
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read keywords first, then files of secrets, the environment, and ``.env``."""
        given = tuple(each for each in (env_settings, dotenv_settings) if isinstance(each, EnvSettingsSource))
        return init_settings, SecretFiles(settings_cls, given), env_settings, dotenv_settings

    @field_validator("bot_tokens", "behaviours", "alert_mail_to", "alert_urgent", "trusted_user_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(each.strip() for each in re.split(r"[,\n]", value) if each.strip())
        return value

    @field_validator("bot_tokens")
    @classmethod
    def _are_tokens(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, token in enumerate(value, start=1):
            if not is_token(token.get_secret_value()):
                raise ValueError(f"no. {number} is not a bot token; {LOOKS_LIKE}")
        return value

    @field_validator("admin_token", "operator_token", "viewer_token")
    @classmethod
    def _is_strong(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if token and (fault := principals.fault_of(token)):
            raise ValueError(f"it {fault}")
        return value

    @field_validator("trusted_user_header")
    @classmethod
    def _is_a_header(cls, value: str) -> str:
        if value and not HEADER.fullmatch(value):
            raise ValueError(f"{short(value)} is no name of a header, such as X-Forwarded-User")
        return value

    @field_validator("trusted_user_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            try:
                ip_network(each)
            except ValueError:
                raise ValueError(
                    f"{short(each)} is neither an address nor a network, such as 10.0.0.7 or 10.0.0.0/24"
                ) from None
        return value

    @field_validator("watch_slots")
    @classmethod
    def _divides_a_day(cls, value: int) -> int:
        if value not in {6, 24}:
            raise ValueError(f"{value} is neither 24 nor 6")
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError(f"{value!r} is none of DEBUG, INFO, WARNING, ERROR")
        return value.upper()

    @field_validator("bot_parse_mode")
    @classmethod
    def _known_mode(cls, value: str) -> str:
        if value not in {"", "HTML", "MarkdownV2", "Markdown"}:
            raise ValueError(f"{value!r} is none of HTML, MarkdownV2, Markdown")
        return value

    @field_validator("telegram_api_url", "public_url", "llm_api_url", "alert_slack_url", "alert_webhook_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and (fault := urls.fault_of(value, schemes=("http://", "https://"))):
            raise ValueError(fault)
        return value.rstrip("/")

    @field_validator("telegram_proxy")
    @classmethod
    def _is_proxy(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            parse_proxy(value.get_secret_value())
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str) -> str:
        fault = urls.fault_of(value, schemes=("redis://", "rediss://", "unix://"), needs_host=False) if value else None
        if fault:
            raise ValueError(f"{fault}, as in redis://localhost:6379/0")
        return value

    @field_validator("alert_webhook_secret")
    @classmethod
    def _is_a_key(cls, value: SecretStr) -> SecretStr:
        return _checked(value, signature.key_of, value.get_secret_value())

    @field_validator("alert_smtp_url")
    @classmethod
    def _is_a_mail_server(cls, value: SecretStr) -> SecretStr:
        return _checked(value, smtp.parse, value.get_secret_value())

    @field_validator("alert_mail_from", "alert_mail_to")
    @classmethod
    def _are_addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for each in (value,) if isinstance(value, str) else value:
            if each and not smtp.ADDRESS.fullmatch(each):
                raise ValueError(f"{short(each)} is no address of a mailbox, such as alerts@example.org")
        return value

    @field_validator("alert_chat")
    @classmethod
    def _is_a_chat(cls, value: str) -> str:
        if value and not CHAT.fullmatch(value):
            raise ValueError("it is neither the id of a chat, such as -1001234567890, nor @name of a channel")
        return value

    @field_validator("alert_urgent")
    @classmethod
    def _are_kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if each not in KINDS:
                raise ValueError(f"{short(each)} is no kind of alert; there are {', '.join(KINDS)}")
        return value

    @field_validator("alert_time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        return _checked(value, zone_of, value)

    @field_validator("alert_quiet_hours")
    @classmethod
    def _are_quiet_hours(cls, value: str) -> str:
        return _checked(value, lambda text: quiet_hours.parse(text, UTC), value)

    @model_validator(mode="after")
    def _reaches_operators(self) -> Self:
        has_server = bool(self.alert_smtp_url.get_secret_value())
        if has_server != bool(self.alert_mail_from) or has_server != bool(self.alert_mail_to):
            raise ValueError("ALERT_SMTP_URL, ALERT_MAIL_FROM and ALERT_MAIL_TO belong together; set all three or none")
        if (self.alert_bot is None) == bool(self.alert_chat):
            raise ValueError("ALERT_BOT and ALERT_CHAT belong together; set both or none")
        if self.alert_webhook_secret.get_secret_value() and not self.alert_webhook_url:
            raise ValueError("ALERT_WEBHOOK_SECRET is set, but ALERT_WEBHOOK_URL is not; there is nothing to sign")
        return self

    @model_validator(mode="after")
    def _knows_its_proxies(self) -> Self:
        if bool(self.trusted_user_header) != bool(self.trusted_user_proxies):
            raise ValueError("TRUSTED_USER_HEADER and TRUSTED_USER_PROXIES belong together; set both or none")
        return self

    @model_validator(mode="after")
    def _names_a_model(self) -> Self:
        if self.llm_api_url and not self.llm_model:
            raise ValueError("LLM_API_URL is set, but LLM_MODEL is not; set LLM_MODEL to the model's name there")
        return self

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if self.llm_api_key.get_secret_value() and "@" in self.llm_api_url.partition("://")[2].partition("/")[0]:
            raise ValueError("LLM_API_URL has a user or a password, and LLM_API_KEY is set; give one of the two")
        return self

    @model_validator(mode="after")
    def _delays_in_order(self) -> Self:
        if self.telegram_base_delay > self.telegram_max_delay:
            raise ValueError(
                f"TELEGRAM_BASE_DELAY ({self.telegram_base_delay}) must not be longer than "
                f"TELEGRAM_MAX_DELAY ({self.telegram_max_delay})"
            )
        return self

    def alerts_when(self) -> When:
        return When(
            quiet=quiet_hours.parse(self.alert_quiet_hours, zone_of(self.alert_time_zone)),
            urgent=frozenset(self.alert_urgent),
            remind_ms=_ms(self.alert_remind_s),
        )

    @property
    def proxy(self) -> Proxy | None:
        """The proxy on the way to the Bot API, if there is one."""
        url = self.telegram_proxy.get_secret_value()
        return parse_proxy(url) if url else None

    def bot_defaults(self) -> dict[str, object]:
        """Return the defaults of every bot without its own, by their names in aiogram."""
        return {
            "parse_mode": self.bot_parse_mode or None,
            "disable_notification": self.bot_disable_notification,
            "protect_content": self.bot_protect_content,
            "link_preview_is_disabled": self.bot_link_preview_is_disabled,
        }

    def limits(self) -> Limits:
        return Limits(
            ceiling=_limit(
                self.telegram_global_limit, self.telegram_global_limit_window_s, burst=self.telegram_global_burst
            ),
            bot=_limit(self.telegram_bot_limit, self.telegram_bot_limit_window_s, burst=self.telegram_bot_burst),
            paid=_limit(self.telegram_paid_limit, self.telegram_paid_limit_window_s),
            purse=Limit(self.telegram_paid_stars_cap * PLACES_A_STAR, DAY_MS),
            chat=_limit(
                self.telegram_chat_limit,
                self.telegram_chat_limit_window_s,
                burst=self.telegram_chat_burst,
                leaks=True,
            ),
            group=_limit(
                self.telegram_group_limit, self.telegram_group_limit_window_s, burst=self.telegram_group_burst
            ),
            user=_limit(self.telegram_user_limit, self.telegram_user_limit_window_s),
            guard_ms=GUARD_IN_DOUBT_MS if self.telegram_window_guard_ms is None else self.telegram_window_guard_ms,
            adapt_least=self.telegram_adapt_least,
            chat_cap=self.queue_chat_cap,
            bot_cap=self.queue_bot_cap,
        )

    def watch_rules(self) -> WatchRules:
        return WatchRules(
            preset=self.watch_preset,
            slot_ms=DAY_MS // self.watch_slots,
            gap_ms=self.watch_gap_ms,
            hourly_gap_ms=2 * self.watch_gap_ms,
            viewed_ms=self.watch_viewed_days * DAY_MS,
            cache_ms=self.watch_cache_h * HOUR_MS,
            hourly_max=self.watch_hourly,
            active_ms=self.watch_active_days * DAY_MS,
            plan=self.watch_plan,
            debounce_ms=_ms(self.watch_debounce_s),
        )

    def retries(self) -> RetryPolicy:
        return RetryPolicy(
            retries_max=self.telegram_max_retries,
            delay_ms_min=_ms(self.telegram_base_delay),
            delay_ms_max=_ms(self.telegram_max_delay),
        )

    @property
    def head_start_s(self) -> float | None:
        """None where an update waits until the one before it has ended."""
        return None if self.handler_order is Order.CHAT else self.handler_head_start_s

    @property
    def keep_messages_ms(self) -> int | None:
        return _ms(self.retention_days * 86_400) or None

    @property
    def keep_dead_ms(self) -> int | None:
        return _ms(self.retention_dead_days * 86_400) or None

    @property
    def trusted_networks(self) -> list[IPv4Network | IPv6Network]:
        return [ip_network(each) for each in self.trusted_user_proxies]

    @property
    def keep_audit_ms(self) -> int | None:
        return _ms(self.audit_days * 86_400) or None

    @property
    def keep_texts_ms(self) -> int:
        """How long texts are stored; 0 where no generator would read them."""
        return _ms(self.llm_keep_texts * 3_600) if self.llm_api_url else 0

    @property
    def upload_bytes_max(self) -> int:
        """Telegram's own limit is the default. Source: https://core.telegram.org/bots/api#sending-files."""
        return self.telegram_upload_mb << 20

    @property
    def timeout_ms(self) -> int:
        return _ms(self.telegram_timeout)

    @property
    def lease_ms(self) -> int:
        """A worker extends its leases three times in this time; a call must fit into one even without that."""
        return self.timeout_ms + _ms(self.telegram_lease_margin)


def load(**values: object) -> Settings:
    """Read the environment and ``.env``; ``values`` are settings by their names in lower case, and come first.

    Raises:
        SettingsError: One sentence that names the first wrong variable and its value.
    """
    for name in values:
        if name not in Settings.model_fields:
            raise SettingsError(_unknown(name))
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def url_of(host: str, port: int) -> str:
    """Return the address at which ``HOST`` and ``PORT`` are reached from this machine.

    >>> url_of("0.0.0.0", 8000)
    'http://127.0.0.1:8000'
    >>> url_of("::1", 8000)
    'http://[::1]:8000'
    """
    if host in EVERY_ADDRESS:
        return f"http://127.0.0.1:{port}"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _checked(value: Value, read: Callable[[str], object], text: str) -> Value:
    """Return a value whose text can be read; an empty one is none."""
    if text:
        try:
            read(text)
        except SettingsError as error:
            raise ValueError(str(error)) from None
    return value


def _unknown(name: str) -> str:
    """Return what is said of a name that no setting has.

    >>> _unknown("redis_uri")
    "there is no setting 'redis_uri'; did you mean redis_url?"
    """
    near = get_close_matches(name.lower(), Settings.model_fields, n=1)
    return f"there is no setting {name!r}; " + (f"did you mean {near[0]}?" if near else ".env.example lists them all")


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    reason = without_tokens(first["msg"].removeprefix("Value error, "))
    if not first["loc"]:
        return reason
    field = str(first["loc"][0])
    if field.endswith("_url") or not Settings.model_fields[field].repr:
        return f"{field.upper()} makes no sense: {reason}"
    return f"{field.upper()} is {without_tokens(short(first['input']))}: {reason[0].lower()}{reason[1:]}"


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


def _limit(count: int, window_s: float, *, burst: int = 0, leaks: bool = False) -> Limit:
    return Limit(count, max(1, _ms(window_s)), burst or None, leaks=leaks)
