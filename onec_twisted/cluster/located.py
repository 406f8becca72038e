"""A description whose files are in an object store: each has an address from which it can be read for a while."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import field, fields, frozen

from onec_twisted.model.description import Description

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LOCATED_VERSION", "LocatedDescription", "located"]

LOCATED_VERSION = 2
"""The version of the JSON of a description with addresses."""


@frozen
class LocatedDescription(Description):
    """What is handed off, in an object store: there is no folder.

    ``urls`` are the addresses of the files, by name, and ``manifest`` that of a JSON object with those of all files
    of the session. They are secrets: they are in no log.
    """

    urls: Mapping[str, str] = field(factory=dict, repr=False, kw_only=True)
    manifest: str = field(default="", repr=False, kw_only=True)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a dictionary for JSON, with the version first."""
        known = super().as_dict()
        files = [{**file, "url": self.urls[file["name"]]} for file in known["files"]]
        return {**known, "version": LOCATED_VERSION, "folder": None, "files": files, "manifest": self.manifest}

    def as_json(self) -> bytes:
        """Return it as one line of JSON in UTF-8, made once."""
        if not self._json:
            self._json.append(json.dumps(self.as_dict(), ensure_ascii=False).encode("utf-8"))
        return self._json[0]


def located(description: Description, urls: Mapping[str, str], manifest: str) -> LocatedDescription:
    """Return a description with addresses."""
    known = {one.name: getattr(description, one.name) for one in fields(Description) if one.init}
    return LocatedDescription(**known, urls=urls, manifest=manifest)
