"""What each Bot API method answers.

Read in this order:

    calls             a call, and how it is refused
    params            the parameters of a call
    message_contents  what a message contains, by its method
    references        the messages that a call refers to
    methods           methods that change something
    read_methods      methods that only read
"""
