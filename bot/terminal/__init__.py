"""What a person sees who starts a process on a terminal.

Everything here is off elsewhere, and then costs nothing. It holds up nothing either: what happens is put into a bounded
buffer, and a thread of its own writes to the terminal.

Read in this order:

    steps         what a start does just now
    opening       chooses between the conversation and log lines
    conversation  is shown updates, calls and log events, and puts lines on the screen
    waits         says of messages that wait for what, and for how long
    lines         the words and colours of each line
    names         the names of bots and chats
    plain         texts of others, cut and made harmless
    screen        the lines, above a footer that stays
    flow          bounds the lines of a second, and counts the others
    printed       what a user's module prints, as lines of the screen
"""
