"""The plan of the house: packages and modules in the order in which they may be imported."""

from __future__ import annotations

from pathlib import Path

import onec_twisted

HOUSE = Path(onec_twisted.__file__).parent

PACKAGES = {
    "model": [
        "refusals.base",
        "refusals.requests",
        "refusals.logins",
        "refusals.files",
        "refusals.storage",
        "refusals.limits",
        "refusals.imports",
        "refusals.uploads",
        "errors",
        "text",
        "written",
        "shown",
        "segments",
        "document",
        "names",
        "records",
        "uploads",
        "description",
    ],
    "runtime": ["backoff", "workers", "singleflight", "metrics", "fairness", "descriptors", "presence"],
    "storage": [
        "spelling",
        "archive",
        "directory",
        "whole",
        "document",
        "unpacking",
        "gathering",
        "interfaces",
        "file",
        "folders",
        "splice",
        "local",
    ],
    "http": [
        "answer",
        "head",
        "allowance",
        "chunked",
        "interfaces",
        "alarm",
        "refusals",
        "connections",
        "sockets",
        "acknowledgement",
        "flow",
        "body",
        "newcomers",
        "server",
        "sending",
        "channel",
        "request",
        "resource",
        "site",
        "bounds",
        "trust",
        "client",
    ],
    "catalog": [
        "sql.schema",
        "sql.uploads",
        "sql.sessions",
        "sql.handoffs",
        "sql.resumable",
        "sql.overview",
        "sqlite",
        "preparation",
        "database",
        "cache",
        "recorder",
        "sessions",
        "files",
        "handoffs",
        "catalog",
        "registry",
    ],
    "auth": ["interfaces", "guesses", "htpasswd", "access", "shard", "sessions"],
    "ingest": ["locks", "space", "transfers", "checkpoints", "writers", "engine", "append", "proofs", "pieces"],
    "delivery": [
        "interfaces",
        "client",
        "keep",
        "program",
        "results",
        "webhook",
        "importers",
        "processes",
        "preparation",
        "checking",
        "relay",
        "examination",
        "archives",
        "handoffs",
    ],
    "exchange": ["protocol", "commerceml", "orders", "resource"],
    "resumable": ["checksums", "claims", "chunks"],
    "tus": ["errors", "fields", "origins", "resource"],
    "admin": ["words", "status", "health", "gauges", "actions", "page", "door", "site"],
    "daemon": ["config", "logs", "options", "listening", "sweep", "revocation", "service", "parts", "assembly"],
}
"""A package imports only from those above it, a module of its own package only from its left."""

NODE = ["answers", "requests", "connection", "dialogue", "export", "push", "check", "load", "typed", "command"]
"""The node's side stands beside the house; each module imports only from its left."""

FOR_NODES = {
    "model.shown",
    "model.text",
    "model.written",
    "runtime.backoff",
    "storage.archive",
    "http.bounds",
    "http.trust",
    "http.client",
    "exchange.commerceml",
}
"""What the node's side shares with the daemon."""
