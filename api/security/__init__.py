"""Authorization.

Read in this order:

    principals    callers, and the bearer tokens of the settings
    allowance     so many at once, and then one after a time
    known_credentials  whose an API token or a session is, as of the last second
    wrong_tokens  how many wrong ones an address may send
    trusted_proxies  proxies that name the user whom they have logged in
    browsers      cookies, and requests that another site's page makes
    requests      whose token or session a request has
    log_in_throttle  how many wrong passwords are compared
    bounds        of which bots a caller sees and does anything
    audited       writes down each request that changed something
    auth          which role a route needs
    identity      what users and tokens are kept with
"""
