"""An e-mail. The library blocks, so each is handed in by a thread."""

from __future__ import annotations

import asyncio
import smtplib
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from tempogram.bot.alerts.smtp import MailServer, connected
from tempogram.engine.alerts.channel import Accepted, Away, Refused, Tried
from tempogram.engine.alerts.kinds import title_of
from tempogram.engine.alerts.notices import text_of
from tempogram.engine.ports.alert_store import Event, Notice

BEFORE = {Event.OPENED: "", Event.LASTS: "Still: ", Event.ENDED: "Over: ", Event.TEST: ""}


class Email:
    """See ``engine.alerts.channel.Channel``.

    A thread cannot be cancelled. So a try that takes too long goes on, and the next one of the same notice waits for
    it: else a slow server would get the notice twice.
    """

    def __init__(self, server: MailServer, *, sender: str, receivers: Sequence[str]) -> None:
        self._server = server
        self._sender = sender
        self._receivers = receivers
        self._under_way: dict[str, asyncio.Future[Tried]] = {}

    async def send(self, notice: Notice) -> Tried:
        under_way = self._under_way.get(notice.id)
        if under_way is None:
            under_way = self._under_way[notice.id] = in_thread(lambda: self._hand_in(notice))
        tried = await asyncio.shield(under_way)
        self._under_way.pop(notice.id, None)
        return tried

    def _hand_in(self, notice: Notice) -> Tried:
        message = mail_of(notice, self._sender, self._receivers)
        is_accepted = False
        try:
            with connected(self._server) as smtp:
                smtp.send_message(message, self._sender, list(self._receivers))
                is_accepted = True  # whatever the server says to the farewell
        except smtplib.SMTPException as error:
            return Accepted() if is_accepted else _refused(error)
        except OSError as error:
            return Accepted() if is_accepted else Away(error.strerror or type(error).__name__)
        return Accepted()


def _refused(error: smtplib.SMTPException) -> Tried:
    """Return what an answer of the server means; its text may quote what was sent, so only its code is given."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = {code for code, _ in error.recipients.values()}
        reason = f"it refused the receivers ({', '.join(map(str, sorted(codes)))})"
        return Refused(reason) if min(codes) >= 500 else Away(reason)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Refused(str(error))
    if isinstance(error, smtplib.SMTPResponseException):
        reason = f"it answered with {error.smtp_code} ({type(error).__name__})"
        return Refused(reason) if error.smtp_code >= 500 else Away(reason)
    return Away(type(error).__name__)


def mail_of(notice: Notice, sender: str, receivers: Sequence[str]) -> EmailMessage:
    """Return a notice as an e-mail; its ``Message-ID`` is the same at each try."""
    message = EmailMessage(policy=SMTP)
    more = f" ({notice.alerts})" if notice.alerts > 1 else f" {notice.keys[0]}" if notice.keys[0] else ""
    subject = f"[Tempogram] {BEFORE[notice.event]}{title_of(notice.kind)}{more}"
    message["Subject"] = " ".join(subject.split())
    message["From"] = sender
    message["To"] = ", ".join(receivers)
    message["Date"] = format_datetime(datetime.fromtimestamp(notice.at_ms / 1_000, UTC))
    message["Message-ID"] = f"<{notice.id}@alerts.tempogram>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text_of(notice) + "\n")
    return message


def in_thread(work: Callable[[], Tried]) -> asyncio.Future[Tried]:
    """Do blocking work in a thread of its own, for which the end of the process does not wait."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Tried] = loop.create_future()

    def settle(tried: Tried | BaseException) -> None:
        if done.cancelled():
            return
        if isinstance(tried, BaseException):
            done.set_exception(tried)
        else:
            done.set_result(tried)

    def run() -> None:
        try:
            tried: Tried | BaseException = work()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            tried = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, tried)

    threading.Thread(target=run, name="alert-mail", daemon=True).start()
    return done
