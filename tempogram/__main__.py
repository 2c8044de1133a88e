"""``python -m tempogram``: the command line."""

from tempogram.bot.commands.cli import main

main()
