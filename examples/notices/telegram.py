#!/usr/bin/env python3
"""Sends each notice to a Telegram chat.

Start the daemon with --notify=exec:/usr/local/bin/telegram.py.

The file TOKEN_FILE has the bot's token in its first line, and the chat's number in its second.
"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

API = os.environ.get("TELEGRAM_API", "https://api.telegram.org")
TOKEN_FILE = os.environ.get("TELEGRAM_TOKEN_FILE", "/etc/onec-telegram")

token, chat = Path(TOKEN_FILE).read_text().split()[:2]
notice = json.load(sys.stdin)
mark = "✅" if notice["state"] == "recovered" else "❗"
message = urlencode({"chat_id": chat, "text": f"{mark} {notice['words']}"}).encode()
urlopen(f"{API}/bot{token}/sendMessage", message, timeout=30).close()
