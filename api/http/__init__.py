"""HTTP that FastAPI leaves to us.

Read in this order:

    body_limits       how large a request may be
    multipart         reads a form as it arrives
    forms             a message as a form with files
    access_log        a line for each request, without tokens
    unhandled_errors  an error of ours, logged and answered
"""
