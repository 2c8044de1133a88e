"""What FastAPI does not do: body limits, forms as streams, logs without tokens.

Read in this order:

    body_limits       the most bytes of a request
    body_reader       the pace of a body, and the memory of all unfinished ones
    multipart         reads a form as it arrives
    forms             a message with files, as a form
    lines             the lines of a body as it arrives
    batch_entries     the entries of a batch, each by itself
    call_params       the parameters of a call of the Bot API
    disconnection     notices that a client has gone
    telegram_errors   errors in Telegram's form
    error_handlers    every error in the one format
    security_headers  what a browser may do with an answer
    access_log        one log line per request, without tokens
    unhandled_errors  logs an unhandled error and answers 500
"""
