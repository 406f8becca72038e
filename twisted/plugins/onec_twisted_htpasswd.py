"""Tells strcred about ``--auth htpasswd:PATH``."""

from onec_twisted.htpasswd import HtpasswdCheckerFactory

onec_htpasswd = HtpasswdCheckerFactory()
