"""Reasons to refuse a request, by subject: classes with a status and the words that the node receives.

The words are short and plain, for a person at 1C (docs/protocol.md, N3).
"""
