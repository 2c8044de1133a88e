"""Authorization.

Read in this order:

    principals    callers, and the bearer tokens of the settings
    api_tokens    whose API token it is, as of the last second
    wrong_tokens  how many wrong ones an address may send
    requests      whose token a request has
    bounds        of which bots a caller sees and does anything
    audited       writes down each request that changed something
    auth          which role a route needs
    identity      what users and tokens are kept with
"""
