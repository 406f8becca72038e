"""A Twisted daemon to which 1C:Enterprise nodes upload what they export to a web shop.

Run it as ``twistd onec-exchange``; the parts meet in ``onec_twisted.daemon.assembly``.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
