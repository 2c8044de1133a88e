"""Mangled URLs of every setting: one sentence without the secret, or a URL that its driver takes."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tempogram.bot.config.settings import load
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.engines import parse, reading_engine

CANARY = "c4nary"
PIECES = (
    *("http", "https", "ftp", "redis", "rediss", "unix", "sqlite", "postgres", "postgresql", "mysql", "+asyncpg", "x"),
    *("://", ":", "//", "/", "@", "?", "#", "[", "]", "::1", "%", "&", "=", ",", ".", "..", " ", "\n", "\0", "é", "ß"),
    *(
        "host",
        "localhost",
        "127.0.0.1",
        "5432",
        "99999",
        "-1",
        "port",
        "ssl=",
        "sslmode=",
        "host=",
        "port=",
        "db=",
        "0",
    ),
    *("prepared_statement_cache_size=", "a" * 70),
)
mangled = st.lists(st.sampled_from([*PIECES, CANARY, CANARY]), max_size=12).map("".join)
likely = st.tuples(
    st.sampled_from(
        ["http://", "https://", "redis://", "rediss://", "unix://", "postgresql://", "sqlite:///", "ftp://"]
    ),
    mangled,
    st.sampled_from([f"u:{CANARY}@", f":{CANARY}@", f"{CANARY}@", ""]),
    mangled,
).map("".join)


@given(st.sampled_from(["telegram_api_url", "public_url", "llm_api_url", "redis_url"]), likely | mangled)
def test_a_mangled_url_is_refused_in_one_sentence_that_quotes_nothing(name: str, url: str) -> None:
    def read() -> None:
        settings = load(**{name: url, "llm_model": "m"})
        if name == "redis_url" and url:
            connect(settings.redis_url)

    assert is_safe(refusal(read), name.upper())


@given(likely | mangled)
def test_a_mangled_database_url_is_refused_in_one_sentence_that_quotes_nothing(url: str) -> None:
    assert is_safe(refusal(lambda: reading_engine(parse(url))), "DATABASE_URL")


def refusal(read: Callable[[], object]) -> str | None:
    """Return why a value is refused; any other error than that is raised."""
    try:
        read()
    except SettingsError as error:
        return str(error)
    return None


def is_safe(sentence: str | None, name: str) -> bool:
    return sentence is None or (sentence.startswith(name) and CANARY not in sentence and "\n" not in sentence)
