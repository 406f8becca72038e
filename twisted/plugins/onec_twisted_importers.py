"""Tells the daemon about our importers."""

from onec_twisted.importers import OURS

onec_keep, onec_exec, onec_http, onec_https = OURS
