"""The channels of alerts: each brings a notice to an operator.

Read in this order:

    signature  signs a webhook after Standard Webhooks
    webhook    a webhook: plain JSON, or Slack's form
    chat       a message of one of the bots
    smtp       how a mail server is reached
    email      an e-mail
"""
