"""``python -m bot.simulator``; see ``process``."""

import sys

from tempogram.bot.simulator.process import main

sys.exit(main())
