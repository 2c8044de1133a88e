"""What bots answer. Each behaviour is a module with aiogram handlers; docs/behaviours.md says what it may have.

Each bot's settings in the database name its behaviours, each with its config:
``{"shop": {"currency": "EUR"}, "commands": {"start": "Hello, {first_name}!"}}``.

Read in this order:

    behaviour    what a module offers
    own          loads a user's modules, which are asked first
    cutting      cuts a text to what one message takes
    preferences  what users say of their time zone, and whether the bot may write by itself
    broadcasts   starts broadcasts from the operators' chat
    commands     answers commands with templates
    reengagement/  writes to users who have gone quiet
    replies      answers mentions and replies, by a text generator
    echo         repeats every text
    watches/     notifies chats of changes of what they watch
    registry     every behaviour by name, and which a new bot has
    dispatchers  a Dispatcher for each behaviour, fed with the updates of the bots that have it
    hooks        runs a module's hooks: at the start, at the end, for bots that are added and removed
    once         the mark of a hook that runs once for the fleet
"""
