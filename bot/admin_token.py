"""The API's bearer token: given, or made once and kept in a file that only its owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def admin_token(given: str, *, path: Path) -> tuple[str, bool]:
    """Return the token, and whether it was made just now (then it is shown once)."""
    if given:
        return given, False
    if path.exists():
        return path.read_text().strip(), False
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(24)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    return token, True
