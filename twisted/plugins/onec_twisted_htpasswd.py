"""Tells strcred about ``--auth htpasswd:PATH``."""

from onec_twisted.auth.htpasswd import HtpasswdCheckerFactory

onec_htpasswd = HtpasswdCheckerFactory()
