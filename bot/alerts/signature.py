"""Signs a webhook after Standard Webhooks, so that its receiver knows that it is ours, whole and new.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256

from tempogram.engine.model.errors import SettingsError

PREFIX = "whsec_"
BYTES_MIN, BYTES_MAX = 24, 64
"""Of the key. Source: the specification, "Symmetric signatures"."""


def key_of(secret: str) -> bytes:
    """Return the key of a secret.

    Raises:
        SettingsError: It has another form; it is not quoted.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not BYTES_MIN <= len(key) <= BYTES_MAX:
        raise SettingsError(
            f"it must be {PREFIX} and then {BYTES_MIN} to {BYTES_MAX} bytes in base64, as of: "
            f'echo "{PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def headers(key: bytes, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook.

    >>> key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> body = b'{"test": 2432232314}'
    >>> headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)["webhook-signature"]
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    signature = base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signature}"}
