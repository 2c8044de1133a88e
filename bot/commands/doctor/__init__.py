"""``tempogram doctor``: checks what a production start needs.

Read in this order:

    doctor        prints the findings
    checks        every check
    alert_checks  checks the channels of alerts, without sending anything
"""
