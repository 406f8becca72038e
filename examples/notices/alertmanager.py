#!/usr/bin/env python3
"""Passes each notice on to Alertmanager, which knows who is on duty.

Start the daemon with --notify=exec:/usr/local/bin/alertmanager.py.
"""

import json
import os
import sys
from datetime import datetime, timedelta, timezone
from urllib.request import Request, urlopen

ALERTMANAGER = os.environ.get("ALERTMANAGER", "http://127.0.0.1:9093")

notice = json.load(sys.stdin)
moment = datetime.fromtimestamp(notice["time"], timezone.utc)
# Until the recovery is told, the alert stands; a week bounds it, should that be lost
ends = moment if notice["state"] == "recovered" else moment + timedelta(days=7)
alert = {
    "labels": {"alertname": "OnecExchange", "event": notice["event"], "subject": notice["subject"]},
    "annotations": {"summary": notice["words"]},
    "endsAt": ends.isoformat(),
}
body = json.dumps([alert]).encode()
urlopen(Request(f"{ALERTMANAGER}/api/v2/alerts", body, {"Content-Type": "application/json"}), timeout=30).close()
