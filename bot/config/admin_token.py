"""The API's bearer token: given, or made once and kept in a file that only its owner may read."""

from __future__ import annotations

from pathlib import Path

from tempogram.storage.keys import secret_key


def admin_token(given: str, *, path: Path) -> tuple[str, bool]:
    """Return the token, and whether it was made just now (then it is shown once)."""
    is_new = not given and not path.exists()
    return secret_key(given, path=path, name="ADMIN_TOKEN"), is_new
