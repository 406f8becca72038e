"""The benchmark: the same uploads against the daemon and its peers in turn, measured from outside.

``python -m bench`` runs it. One MB is 10**6 bytes, one GB 10**9, one KB 1000, everywhere.
"""
