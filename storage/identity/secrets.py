"""Texts that let in: ``tpg_<id>_<secret>_<checksum>``, and how the database keeps them.

The id finds the row, so that no secret is looked up by its value. The checksum lets a mistyped text, or one of another
program, be refused without a query, and lets scanners of source code find one that was published.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from string import ascii_letters, ascii_lowercase, digits
from typing import TYPE_CHECKING, Any
from zlib import crc32

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from sqlalchemy import Row

ID_CHARACTERS = 12
SECRET_CHARACTERS = 43
"""256 bits; digests of them need no salt and no stretching."""

ALPHABET = digits + ascii_letters


class Kind(StrEnum):
    """What a text is for: how it begins, so that none passes as another."""

    TOKEN = "tpg"  # noqa: S105 - it stands before each one
    SESSION = "tpgs"
    LINK = "tpgl"


FORM = re.compile(
    rf"({'|'.join(Kind)})_([0-9a-z]{{{ID_CHARACTERS}}})_([0-9A-Za-z]{{{SECRET_CHARACTERS}}})_([0-9a-f]{{8}})"
)


@dataclass(frozen=True, slots=True)
class Credential:
    """A text that lets in, in its parts. Its ``repr`` has the id only."""

    kind: Kind
    id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls, kind: Kind) -> Credential:
        return cls(kind, new_id(), "".join(secrets.choice(ALPHABET) for _ in range(SECRET_CHARACTERS)))

    @classmethod
    def read(cls, text: str, kind: Kind) -> Credential | None:
        """Return the parts of a text; None: it is not of this kind, or was mistyped.

        >>> text = Credential.new(Kind.TOKEN).text
        >>> Credential.read(text, Kind.TOKEN).text == text, Credential.read(text, Kind.LINK)
        (True, None)
        >>> Credential.read(text[:-1] + ("0" if text[-1] != "0" else "1"), Kind.TOKEN) is None
        True
        """
        parts = FORM.fullmatch(text)
        if parts is None or parts[1] != kind:
            return None
        credential = cls(kind, parts[2], parts[3])
        return credential if hmac.compare_digest(credential.text, text) else None

    @property
    def text(self) -> str:
        """The whole, which is shown once."""
        body = f"{self.kind}_{self.id}_{self.secret}"
        return f"{body}_{crc32(body.encode()):08x}"


class Digests:
    """Makes what the database keeps of a text: nothing in it finds the text without ``SECRET_KEY``.

    >>> digests, credential = Digests("a key that no trial finds"), Credential(Kind.TOKEN, "a" * 12, "b" * 43)
    >>> digests.is_of(digests.of(credential), credential)
    True
    >>> Digests("another key, as good as it").is_of(digests.of(credential), credential)
    False

    While ``SECRET_KEY`` is changed there is a former one, whose digests are good, too.

    Attributes:
        fingerprints: Of the keys, by which processes and rows name them; a key cannot be found from its fingerprint.
    """

    def __init__(self, *secret_keys: str) -> None:
        self._keys = [_derived(each) for each in secret_keys]
        self.fingerprints = tuple(fingerprint(each) for each in secret_keys)
        self.writing = 0

    def __repr__(self) -> str:
        return "Digests(…)"

    @property
    def fingerprint(self) -> int:
        """Of the key with which new digests are made."""
        return self.fingerprints[self.writing]

    def write_as(self, fingerprint: int | None) -> None:
        """Make new digests with the key of this fingerprint, if it is here."""
        if fingerprint in self.fingerprints:
            self.writing = self.fingerprints.index(fingerprint)

    def stored(self, credential: Credential) -> dict[str, Any]:
        """Return what a row keeps of a text."""
        return {"digest": self.of(credential), "key_fingerprint": self.fingerprint}

    def of(self, credential: Credential) -> bytes:
        return self._of(credential, self._keys[self.writing])

    def is_of(self, digest: bytes, credential: Credential) -> bool:
        """Compare in constant time."""
        return self.key_of(digest, credential) is not None

    def key_of(self, digest: bytes, credential: Credential) -> int | None:
        """Return the fingerprint of the key of a digest, found in constant time; None: it is not of this text."""
        matching = [hmac.compare_digest(digest, self._of(credential, key)) for key in self._keys]
        return self.fingerprints[matching.index(True)] if True in matching else None

    def is_outdated(self, row: Row[Any], key: int) -> bool:
        """Tell whether a digest under this key is to be made anew, or its key to be noted.

        The row has the fingerprint of the database's key, as ``present_key``.
        """
        present = row.present_key if row.present_key in self.fingerprints else self.fingerprint
        return key != present or row.key_fingerprint != key

    def signature(self, text: str) -> str:
        """Return a signature of a text that is kept elsewhere, as in a cookie."""
        return self._signature(text, self._keys[self.writing])

    def is_signature(self, signature: str, text: str) -> bool:
        """Compare in constant time."""
        given = signature.encode(errors="surrogatepass")
        return any(hmac.compare_digest(given, self._signature(text, key).encode()) for key in self._keys)

    @staticmethod
    def _signature(text: str, key: bytes) -> str:
        return hmac.new(key, b"signed " + text.encode(errors="surrogatepass"), sha256).hexdigest()

    @staticmethod
    def _of(credential: Credential, key: bytes) -> bytes:
        return hmac.new(key, credential.text.encode(), sha256).digest()


FINGERPRINT_BYTES = 4


def fingerprint(secret_key: str) -> int:
    derived = HKDF(algorithm=SHA256(), length=FINGERPRINT_BYTES, salt=None, info=b"tempogram key fingerprint")
    return int.from_bytes(derived.derive(secret_key.encode()))


def _derived(secret_key: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tempogram digests of credentials")
    return derived.derive(secret_key.encode())


def new_id() -> str:
    """Return an id for a row; it is no secret."""
    return "".join(secrets.choice(digits + ascii_lowercase) for _ in range(ID_CHARACTERS))
