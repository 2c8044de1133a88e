"""``python -m tempogram``: the command line."""

from tempogram.bot.commands.entry import main

main()
