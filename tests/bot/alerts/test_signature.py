from __future__ import annotations

import base64

import pytest

from tempogram.bot.alerts.signature import headers, key_of
from tempogram.engine.model.errors import SettingsError


def secret(length: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(length))).decode()


@pytest.mark.parametrize("length", [24, 32, 64])
def test_a_secret_is_the_key_in_base64(length: int) -> None:
    assert key_of(secret(length)) == bytes(range(length))


@pytest.mark.parametrize(
    "wrong", ["", "whsec_", secret(23), secret(65), secret(32).removeprefix("whsec_"), "whsec_no base64, hunter2"]
)
def test_a_secret_of_another_form_is_refused_and_not_quoted(wrong: str) -> None:
    with pytest.raises(SettingsError, match="24 to 64 bytes in base64") as refused:
        key_of(wrong)

    assert "hunter2" not in str(refused.value)


def test_the_body_the_id_and_the_time_are_signed() -> None:
    key = key_of(secret(32))
    signatures = {
        headers(key, *signed)["webhook-signature"]
        for signed in (("msg_1", 1, b"{}"), ("msg_2", 1, b"{}"), ("msg_1", 2, b"{}"), ("msg_1", 1, b"{ }"))
    }

    assert len(signatures) == 4
