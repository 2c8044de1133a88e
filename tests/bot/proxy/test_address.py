"""``TELEGRAM_PROXY``, read."""

from __future__ import annotations

import pytest

from tempogram.bot.config.settings import load
from tempogram.bot.proxy.address import Proxy, parse_proxy
from tempogram.engine.model.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://10.0.0.1:3128", Proxy("http", "10.0.0.1", 3128)),
        ("http://me:secret@proxy.example:8080/", Proxy("http", "proxy.example", 8080, "me", "secret")),
        ("socks5://me:p%40s%3As%2F%23%3F%25@[::1]:1080", Proxy("socks5", "::1", 1080, "me", "p@s:s/#?%")),
        ("socks5h://proxy.example:1080", Proxy("socks5", "proxy.example", 1080)),
        ("http://me:%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C@h:1", Proxy("http", "h", 1, "me", "пароль")),
    ],
)
def test_a_proxy_has_a_host_a_port_and_perhaps_a_user_with_any_password(url: str, proxy: Proxy) -> None:
    assert parse_proxy(url) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "canary",
        "canary:1080",
        "https://canary:canary@host:443",
        "socks4://canary@host:1",
        "http://me:canary@host",
        "http://me:can/ary@host:1",
        "http://me:can#ary@host:1",
        "http://me:can?ary@host:1",
        "http://[canary:1",
        "http://host:canary",
        "http://host:99999999",
        "http://me:can ary@host:1",
        "http://a%3Ab:canary@host:1",
        "http://:canary@host:1",
        "http://me:can%0D%0Aary@host:1",
        "socks5://me:canary%D0%BF@host:1",
        f"socks5://me:{'canary' * 50}@host:1",
    ],
)
def test_what_is_no_proxy_is_refused_in_a_sentence_that_quotes_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_PROXY", url)

    with pytest.raises(SettingsError, match=r"^TELEGRAM_PROXY makes no sense: it") as refused:
        load()

    assert "canary" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_proxys_password_stands_in_none_of_its_texts() -> None:
    proxy = parse_proxy("http://me:canary@10.0.0.1:3128")

    assert "canary" not in f"{proxy} {proxy!r}"
