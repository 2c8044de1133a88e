from __future__ import annotations

import pytest

from tempogram.bot.alerts.smtp import MailServer, parse
from tempogram.engine.model.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("smtp://mail.example.org", MailServer(host="mail.example.org", port=587, is_tls=False)),
        ("smtps://mail.example.org", MailServer(host="mail.example.org", port=465, is_tls=True)),
        ("smtp://[::1]:2525/", MailServer(host="::1", port=2525, is_tls=False)),
        (
            "smtps://alerts%40example.org:a%2Fb@mail.example.org:5465",
            MailServer(host="mail.example.org", port=5465, is_tls=True, user="alerts@example.org", password="a/b"),
        ),
    ],
)
def test_an_address_of_a_mail_server_is_read(url: str, wanted: MailServer) -> None:
    assert parse(url) == wanted


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.org",
        "http://mail.example.org",
        "smtp://",
        "smtp://hunter2@mail.example.org",
        "smtp://a:hunter2/x@mail.example.org",
        "smtp://mail.example.org/hunter2",
        "smtp://mail.example.org?x=hunter2",
        "smtp://mail example.org",
    ],
)
def test_another_address_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(url)

    assert "hunter2" not in str(refused.value)


def test_a_password_is_in_no_repr() -> None:
    assert "hunter2" not in repr(parse("smtp://a:hunter2@mail.example.org"))


@pytest.mark.parametrize(
    ("host", "is_here"), [("localhost", True), ("127.0.0.1", True), ("[::1]", True), ("10.0.0.1", False)]
)
def test_this_machine_is_known(host: str, *, is_here: bool) -> None:
    assert parse(f"smtp://{host}").is_here == is_here
