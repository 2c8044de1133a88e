"""``tempogram chats``: what is known of chats, over the API.

Read in this order:

    chats        the commands
    file_import  sends a list of any size
"""
