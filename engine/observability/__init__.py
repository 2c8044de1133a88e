"""What is counted, for Prometheus and for ``/metrics`` as JSON.

metrics    every metric's name, labels and help, and how it is read
"""
