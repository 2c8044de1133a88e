"""``make env``: writes ``.env`` with secrets of its own. It needs Python alone, before anything is installed."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

SECRETS = ("ADMIN_TOKEN", "OPERATOR_TOKEN", "VIEWER_TOKEN", "SECRET_KEY")
"""Each is written if ``.env.example`` has it; of these ``DATA_DIR`` may hold one that is in use."""

OF_COMPOSE = ("POSTGRES_PASSWORD",)
"""Read by docker-compose.yml alone."""

SECRET_BYTES = 32

HEAD = """\
# Made by `make env`. Only its owner may read it. Keep a copy, but not where the backups of the database are: the bot
# tokens in these can be read with SECRET_KEY, and without it they are lost. Any other setting of .env.example may stand
# here, too. A value with a space or one of $ # ' " in it stands in single quotes, and a ' in it is written \\'.
"""


def main(folder: Path) -> int:
    """Write the file if there is none; return the exit status: 1 if there is one."""
    path = folder / ".env"
    known = (folder / ".env.example").read_text(encoding="utf-8")
    names = [*(name for name in SECRETS if f"#{name}=" in known), *OF_COMPOSE]
    lines = [f"{name}={in_use(folder / 'data', name) or secrets.token_urlsafe(SECRET_BYTES)}\n" for name in names]
    try:
        written = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(f"{path} is there already, and stays as it is; to have another, move it away first\n")
        return 1
    with os.fdopen(written, "w", encoding="utf-8") as file:
        file.writelines([HEAD, *lines])
    sys.stdout.write(f"{path} has {', '.join(names)}; only you may read it\n")
    return 0


def in_use(data_dir: Path, name: str) -> str:
    """Return the secret that a start here has made and uses; empty if there is none."""
    try:
        return (data_dir / name.lower()).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
