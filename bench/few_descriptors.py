"""``tempogram run`` with 1,024 descriptors, which it cannot raise: what many systems give a process."""

from __future__ import annotations

import resource

from tempogram.bot.commands.cli import main

DESCRIPTORS = 1_024

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    main()
