"""``python -m bot.simulator``; see ``process``."""

import sys

from bot.simulator.process import main

sys.exit(main())
