"""The texts of the pages, as a value of one language."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Words"]


@frozen(kw_only=True)
class Words:
    """The texts of one language; ``units`` are those of sizes, from bytes up, ``times`` from seconds to days.

    ``healths`` translates the reasons of ``/health``: patterns, and what stands for a text that one matches whole.
    """

    language: str

    # Every page
    title: str
    skip: str
    navigation: str
    good: str
    good_details: str
    bad: str
    last: str
    last_one: str
    within: str
    ago: str
    as_of: str
    zone: str
    no_answer: str
    no_script: str

    # Columns and fields
    user: str
    shop: str
    file: str
    session: str
    state: str
    what: str
    tries: str
    last_words: str
    actions: str
    files: str
    held: str
    touched: str
    started: str
    began: str
    asked_at: str
    ended: str
    took: str
    import_took: str
    refused: str
    address: str
    agent: str
    kind: str
    contents: str
    first: str
    count: str
    answer: str
    asked: str
    option: str
    value: str

    # Filters and pages of a list
    filter: str
    any: str
    day: str
    file_name: str
    apply: str
    clear: str
    none_found: str
    newest_first: str
    newest: str
    older: str
    paging: str
    not_shown: str

    # Overview
    received_today: str
    exchanges_today: str
    refused_today: str
    waiting_now: str
    disk_free: str
    up_for: str
    transfers: str
    no_transfers: str
    daemons: str
    daemon: str
    this_one: str
    seen: str
    lost: str
    piece: str
    rate: str
    age: str
    waits: str
    of: str
    after: str
    now: str
    traffic: str
    peak: str
    refusals_total: str
    refused_per_minute: str
    per_minute: str
    free_now: str
    disk_reserved: str
    in_hours: str
    too_little_known: str
    durations: str
    longest: str
    typical: str
    none_yet: str
    users: str
    last_exchanges: str
    overdue: str
    no_exchanges: str

    # Exchanges
    logged_in: str
    asked_for: str
    succeeded_try: str
    failed_try: str
    refusal: str
    is_over: str
    time_line: str
    no_files: str
    download: str
    look_inside: str
    inside: str
    again: str
    again_question: str
    exchange: str

    # Hand-offs
    handoffs: str
    no_handoffs: str
    next_try: str
    retry: str
    drop: str
    give_up: str
    give_up_question: str
    drop_question: str
    drop_loses: str
    retry_all: str
    retry_all_question: str
    drop_all: str
    drop_all_question: str

    # Sessions
    sessions: str
    no_sessions: str
    damaged: str
    owed: str
    waiting: str
    failed: str
    end: str
    end_question: str
    end_loses: str
    and_more: str

    # Refusals
    refusals: str
    no_refusals: str

    # Shops
    shops: str
    shop_name: str
    takes: str
    exchanges: str
    all_of_shop: str
    own_settings: str
    no_own_settings: str

    # Settings
    version: str
    connections: str
    received: str
    accepted: str
    discarded: str
    repeats: str
    on_record: str
    owing: str
    damaged_files: str
    in_force: str
    no_settings: str
    limits_title: str
    limits: str
    per_second: str
    decimal: str

    # What has a name in the program
    pages: dict[str, str]
    reasons: dict[str, str]
    states: dict[str, str]
    legend: dict[str, str]
    found: dict[str, str]
    events: dict[str, str]
    notices: dict[str, str]
    healths: dict[str, str]
    units: Sequence[str]
    times: Sequence[str]

    def health(self, reason: str) -> str:
        """Return a reason of ``/health`` in this language; one that is not known stays as it is."""
        for pattern, said in self.healths.items():
            found = re.fullmatch(pattern, reason, re.DOTALL)
            if found is not None:
                return found.expand(said)
        return reason
