from __future__ import annotations

import pytest

from tempogram.storage.identity.secrets import Credential, Digests, Kind

KEY = "a key that no trial finds"


def test_a_text_is_read_as_what_it_was_made_of() -> None:
    made = Credential.new(Kind.TOKEN)

    assert made.text.startswith("tpg_")
    assert Credential.read(made.text, Kind.TOKEN) == made


@pytest.mark.parametrize("position", [6, 20, 50, -1])
def test_a_mistyped_text_is_refused_by_its_checksum(position: int) -> None:
    text = Credential.new(Kind.TOKEN).text
    other = "1" if text[position] != "1" else "2"

    mistyped = text[:position] + other + text[position:][1:]

    assert Credential.read(mistyped, Kind.TOKEN) is None


@pytest.mark.parametrize("text", ["", "tpg_", "tpg_a_b_c", "é" * 70, "tpg_" + "a" * 100_000, "\ud800"])
def test_a_text_of_another_form_is_refused(text: str) -> None:
    assert Credential.read(text, Kind.TOKEN) is None


def test_a_link_is_not_taken_for_a_session() -> None:
    assert Credential.read(Credential.new(Kind.LINK).text, Kind.SESSION) is None


def test_a_secret_stands_in_no_representation() -> None:
    made = Credential.new(Kind.SESSION)

    assert made.secret not in repr(made) + repr(Digests(KEY)) + str(made)
    assert KEY not in repr(Digests(KEY))


def test_a_digest_is_of_one_text_and_one_key() -> None:
    made, digests = Credential.new(Kind.TOKEN), Digests(KEY)
    digest = digests.of(made)

    assert digests.is_of(digest, made)
    assert not digests.is_of(digest, Credential(made.kind, made.id, made.secret[::-1]))
    assert not Digests(KEY + "!").is_of(digest, made)
