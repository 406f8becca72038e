"""The Russian site: built as the English one, from the pages here."""

from __future__ import annotations

import runpy
from pathlib import Path

globals().update(runpy.run_path(str(Path(__file__).resolve().parents[1] / "conf.py")))

language = "ru"
exclude_patterns = ["_build"]
html_title = "onec-exchange"
