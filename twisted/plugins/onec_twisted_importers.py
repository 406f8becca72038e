"""Tells the daemon about our importers."""

from onec_twisted.delivery.importers import OURS

onec_keep, onec_exec, onec_http, onec_https = OURS
