"""``python -m tempogram``: the command line."""

from tempogram.bot.__main__ import main

main()
