"""``python -m tempogram.simulator``; see ``process``."""

import sys

from tempogram.simulator.process import main

sys.exit(main())
