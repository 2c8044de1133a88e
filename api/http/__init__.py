"""What FastAPI does not do: body limits, forms as streams, logs without tokens.

Read in this order:

    body_limits       the most bytes of a request
    multipart         reads a form as it arrives
    forms             a message with files, as a form
    access_log        one log line per request, without tokens
    unhandled_errors  logs an unhandled error and answers 500
"""
