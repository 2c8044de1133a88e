from __future__ import annotations

from pathlib import Path

import pytest

from tempogram.bot.commands.load.plan import Bounds, Plan, address, body_of, errors_of, headers_of
from tempogram.engine.model.errors import SettingsError


def test_a_plan_is_one_line_without_what_may_be_secret() -> None:
    plan = Plan(
        method="POST",
        url="https://anna:secret@shop.example:8443/api/calls?token=secret",
        headers={"Authorization": "secret"},
        body=b"secret",
    )

    assert str(plan) == "POST https://shop.example:8443/api/calls: 100 requests, 20 at once"
    assert "Authorization" not in repr(plan)


def test_the_token_of_a_bot_in_the_path_is_not_shown() -> None:
    token = f"123456:{'A' * 35}"

    assert token not in str(Plan(method="GET", url=f"http://127.0.0.1/bot{token}/getMe"))


def test_an_open_loop_is_said_by_its_rate() -> None:
    plan = Plan(method="GET", url="http://127.0.0.1/", requests=None, duration_s=4, rate=12.5)

    assert str(plan) == "GET http://127.0.0.1/: requests, 12.5 a second, for 4 s"


@pytest.mark.parametrize("given", ["secret", "X Team: secret", "X-Team: sec\nret", ": secret"])
def test_the_value_of_a_wrong_header_is_not_repeated(given: str) -> None:
    with pytest.raises(SettingsError, match="--header number 2 is none; write one as in 'X-Team: red'") as raised:
        headers_of(["X-Team: red", given], b"")

    assert "secret" not in str(raised.value)


def test_a_body_that_is_json_says_so_unless_a_header_does() -> None:
    assert headers_of([], b'{"to": 1}') == {"Content-Type": "application/json"}
    assert headers_of(["content-type: text/plain"], b"{}") == {"content-type": "text/plain"}
    assert headers_of([], b"to=1") == {}


def test_a_body_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text("{}")

    assert (body_of(f"@{tmp_path}/body.json"), body_of("to=1")) == (b"{}", b"to=1")
    with pytest.raises(SettingsError, match="cannot be read"):
        body_of(f"@{tmp_path}/other.json")


@pytest.mark.parametrize("url", ["ftp://shop.example", "shop.example", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="must begin with http:// or https://"):
        address(url, "/api/calls")


@pytest.mark.parametrize("given", ["few", "-1", "1.5", "1%%", "inf", "nan%", ""])
def test_a_number_of_errors_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match=r"write a number of requests, or a share as in 0\.5%"):
        errors_of(given)


def test_a_share_of_errors_is_of_all_requests() -> None:
    assert [Bounds(errors_max=1.0, errors_share=True).errors_allowed(each) for each in (99, 100, 250)] == [0, 1, 2]
