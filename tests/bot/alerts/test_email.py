from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

import pytest

from tempogram.bot.alerts import email, smtp
from tempogram.bot.alerts.email import Email
from tempogram.bot.alerts.smtp import MailServer
from tempogram.engine.alerts.channel import Accepted, Away, Refused, Tried
from tempogram.engine.ports.alert_store import Event
from tests.bot.alerts.receivers import MailReceiver
from tests.engine.alerts.values import notice


def to(receiver: MailReceiver, user: str = "", password: str = "", host: str = "127.0.0.1") -> Email:
    server = MailServer(host=host, port=receiver.port, is_tls=False, user=user, password=password)
    return Email(server, sender="bots@example.org", receivers=["a@example.org", "b@example.org"])


async def send(receiver: MailReceiver, user: str = "", password: str = "") -> Tried:
    async with receiver.running():
        return await to(receiver, user, password).send(notice("1", lines=("task „Größe“ is stalled",)))


async def test_an_alert_is_mailed_to_each_receiver_with_an_id_that_stays_the_same() -> None:
    receiver = MailReceiver()

    assert await send(receiver) == Accepted()
    (mail,) = receiver.accepted
    assert receiver.receivers == ["a@example.org", "b@example.org"]
    assert mail["Subject"] == "[Tempogram] Task stalled 1"
    assert mail["Message-ID"] == "<1@alerts.tempogram>"
    assert mail["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert mail.get_content().replace("\r", "") == "Task stalled\ntask „Größe“ is stalled\n"


async def test_the_end_of_several_alerts_stands_in_the_subject() -> None:
    mail = email.mail_of(notice("1", event=Event.ENDED, alerts=3), "a@example.org", ["b@example.org"])

    assert mail["Subject"] == "[Tempogram] Over: Task stalled (3)"


async def test_a_key_with_a_line_break_makes_no_header_of_its_own() -> None:
    mail = email.mail_of(notice("1", keys=("poll\r\nBcc: x@example.org",)), "a@example.org", ["b@example.org"])

    assert mail["Subject"] == "[Tempogram] Task stalled poll Bcc: x@example.org"
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("554 spam", Refused("it answered with 554 (SMTPDataError)")),
        ("451 try later", Away("it answered with 451 (SMTPDataError)")),
    ],
)
async def test_what_an_answer_means(answer: str, wanted: Tried) -> None:
    assert await send(MailReceiver(answer)) == wanted


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("550 unknown", Refused("it refused the receivers (550)")),
        ("450 greylisted", Away("it refused the receivers (450)")),
    ],
)
async def test_refused_receivers_differ_from_those_that_wait(answer: str, wanted: Tried) -> None:
    assert await send(MailReceiver(refuses=answer)) == wanted


async def test_a_wrong_password_is_refused_and_not_quoted() -> None:
    receiver = MailReceiver(login=("bots", "right"))

    assert await send(receiver, "bots", "hunter2") == Refused("it answered with 535 (SMTPAuthenticationError)")


async def test_a_mail_that_was_accepted_stays_so_whatever_the_server_says_to_the_farewell() -> None:
    receiver = MailReceiver(farewell="500 what?")

    assert await send(receiver) == Accepted()


async def test_a_password_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = MailReceiver(login=("bots", "right"))
    monkeypatch.setattr(MailServer, "is_here", property(lambda _: False))

    tried = await send(receiver, "bots", "right")

    assert tried == Refused("it offers no STARTTLS, and a password is not sent in the clear")
    assert receiver.logins == []


async def test_the_certificate_of_a_server_is_checked(tmp_path: Path) -> None:
    tls, certificate = await own_certificate(tmp_path)
    receiver = MailReceiver(login=("bots", "right"), tls=tls)

    assert isinstance(await send(receiver, "bots", "right"), Away)
    assert receiver.logins == []
    assert certificate.exists()


async def test_with_starttls_a_password_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, certificate = await own_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(ssl, "create_default_context", lambda: context)
    receiver = MailReceiver(login=("bots", "right"), tls=tls)

    assert await send(receiver, "bots", "right") == Accepted()
    assert receiver.logins == [("bots", "right")]


async def test_a_server_that_is_not_there_is_away() -> None:
    server = MailServer(host="127.0.0.1", port=1, is_tls=False)

    tried = await Email(server, sender="a@example.org", receivers=["b@example.org"]).send(notice("1"))

    assert tried == Away("Connection refused")


async def test_a_slow_server_gets_a_notice_once_however_often_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its try is cancelled, the thread is not: the next try waits for it."""
    receiver = MailReceiver()
    slow = receiver._take

    async def take(*args: object) -> None:
        await asyncio.sleep(0.5)
        await slow(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(receiver, "_take", take)
    async with receiver.running():
        channel = to(receiver)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await channel.send(notice("1"))
        tried = await channel.send(notice("1"))

    assert (tried, len(receiver.accepted)) == (Accepted(), 1)


async def test_a_server_that_hangs_is_away_and_holds_up_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "STEP_S", 0.3)
    began_s, ticks = time.monotonic(), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    tried = await send(MailReceiver(""))
    ticking.cancel()

    assert isinstance(tried, Away)
    assert time.monotonic() - began_s < 5
    assert ticks > 5


async def own_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    await made.wait()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
