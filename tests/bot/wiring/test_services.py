from __future__ import annotations

from pathlib import Path

import pytest

from tempogram.bot.config.settings import Settings
from tempogram.bot.wiring.services import declared_services
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.limit import CallLimit


def settings_of(folder: Path, **changes: object) -> Settings:
    return Settings(data_dir=folder, **changes)  # type: ignore[arg-type]


def test_without_a_file_the_shipped_services_are_there(tmp_path: Path) -> None:
    services = declared_services(settings_of(tmp_path))

    assert services["twilio"].operations["sms"].limit == CallLimit(count=1, window_ms=1_000)


def test_a_file_in_the_data_directory_is_read_and_the_environment_overrides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "services.toml").write_text("[twilio]\nconcurrency = 7\n\n[pay.operations]\ncharge = {count = 5}\n")
    monkeypatch.setenv("PAY_RATE_LIMIT_WINDOW", "2000")
    monkeypatch.setenv("TWILIO_CONCURRENCY_LIMIT", "8")

    services = declared_services(settings_of(tmp_path))

    assert services["twilio"].limit.concurrency == 8
    assert services["pay"].limit == CallLimit(concurrency=10), "DEFAULT_CONCURRENCY_LIMIT"
    assert services["pay"].operations["charge"].limit == CallLimit(count=5, window_ms=2_000)


def test_a_count_without_a_window_has_that_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "services.toml").write_text("[pay.operations]\ncharge = {count = 5}\n")

    services = declared_services(settings_of(tmp_path, default_rate_limit_window=3_000))

    assert services["pay"].operations["charge"].limit == CallLimit(count=5, window_ms=3_000)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[pay", "services.toml is no TOML:"),
        (b"[telegram]", r"services.toml, \[telegram\]: no service may be called telegram"),
        (b"\xff\xfe", "services.toml is not UTF-8"),
        (b"#" * (1 << 20) + b"\n", "services.toml has 1,048,577 bytes; it may have 1,048,576"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "services.toml").write_bytes(content)

    with pytest.raises(SettingsError, match=f"^{sentence}"):
        declared_services(settings_of(tmp_path))


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "mine.toml"

    with pytest.raises(SettingsError, match=r"^SERVICES_FILE is '.*mine.toml', which cannot be read \(No such file"):
        declared_services(settings_of(tmp_path, services_file=missing))
