"""What the API needs of Telegram and aiogram to serve the Bot API itself.

Read in this order:

    answers       which way a call goes, and what became of it as Telegram puts it
    tokens        the bots that may use the door
    pass_through  passes on what does not go through the queue
"""
