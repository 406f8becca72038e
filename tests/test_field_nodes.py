"""What real nodes, pages and sites do, and what was not understood of it once."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree as ET

import pytest
from in_memory import ORIGIN, TUS_PATH, InMemory, Reply
from tus_in_memory import CHUNK, TusInMemory, metadata

from onec_twisted.tus.fields import parse_checksum, parse_metadata
from onec_twisted.tus.origins import Origins

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.orders import Orders


def ask(exchange: InMemory, kind: str, mode: str) -> Reply:
    """Log in as a node of a type, and ask one thing."""
    cookie, sessid = exchange.checkauth(kind)
    return exchange.request("GET", f"type={kind}&mode={mode}&sessid={sessid}", Cookie=cookie)


class TestTypes:
    @pytest.mark.parametrize("kind", ["sale", "crm", "get_catalog"])
    def test_whoever_asks_for_a_document_is_given_one(self, exchange: InMemory, kind: str) -> None:
        """As of ``sale``: complete, and empty where the site has nothing."""
        query, info = ask(exchange, kind, "query"), ask(exchange, kind, "info")

        assert (query.status, info.status) == (200, 200)
        assert ET.fromstring(query.body).tag == "КоммерческаяИнформация"
        assert ET.fromstring(info.body).tag == "Справочник"
        assert ask(exchange, kind, "success").body == b"success"

    def test_crm_is_sale(self, exchange: InMemory) -> None:
        """1C-Bitrix answers both by one component: a Bitrix24 asks with a version, and wants four lines."""
        assert len(ask(exchange, "crm", "init&version=2.09").body.split(b"\n")) == 4
        assert len(ask(exchange, "get_catalog", "init&version=2.09").body.split(b"\n")) == 2

    def test_orders_are_for_who_asks_for_orders(self, make_exchange: Callable[..., InMemory]) -> None:
        """A node that wants the site's goods is given none: it would confirm them, and they would be lost."""
        asked: list[str] = []

        class Site:
            async def document(self, mode: str, _session: object) -> Any:
                asked.append(mode)
                raise ValueError("enough")

            async def confirm(self, _session: object) -> None:
                asked.append("success")

        exchange = make_exchange(orders=cast("Orders", Site()))
        for mode in ("query", "info", "success"):
            assert ask(exchange, "get_catalog", mode).status == 200
        assert asked == []
        assert ask(exchange, "crm", "success").body == b"success"
        assert asked == ["success"]

    @pytest.mark.parametrize("kind", ["catalog", "reference"])
    def test_others_ask_for_none(self, exchange: InMemory, kind: str) -> None:
        """Their ``query`` is a mistake, and is told so."""
        assert ask(exchange, kind, "query").body == b"failure\nUnknown mode"


class TestPages:
    @pytest.mark.parametrize(
        "name", ["sentry-trace", "baggage", "traceparent", "tracestate", "b3", "x-datadog-trace-id", "upload-concat"]
    )
    def test_a_page_that_is_traced_may_upload(self, tus: TusInMemory, name: str) -> None:
        """What tracing adds to each request is allowed, or the browser would keep the upload back."""
        answer = tus.request("OPTIONS", TUS_PATH, Origin=ORIGIN.decode(), Access_Control_Request_Headers=name)

        assert answer.status == 204
        assert name in answer.headers["access-control-allow-headers"].lower().split(", ")

    def test_an_option_allows_more(self) -> None:
        """Beside what is always allowed."""
        told = dict(Origins(frozenset({ORIGIN}), (b"X-CSRF-Token", b"X-Shop")).headers(ORIGIN, preflight=True))

        assert told[b"Access-Control-Allow-Headers"].endswith(b", X-CSRF-Token, X-Shop")
        assert told[b"Access-Control-Allow-Headers"].startswith(b"Authorization, ")


class TestTusClients:
    @pytest.mark.parametrize("told", ["filename YQ==,", "kind Yg==,filename YQ, ", "filename\tYQ=="])
    def test_how_metadata_are_written(self, tus: TusInMemory, told: str) -> None:
        """A comma at the end, and tabs, are understood."""
        path = tus.made(1, Upload_Metadata=told)
        tus.patch(path, 0, b"x")

        assert tus.stored() == {"a": b"x"}

    @pytest.mark.parametrize("name", ["a>b?c.xml", "прайс ÿþ.xml"])
    def test_base64_of_urls(self, name: str) -> None:
        """Some programs know that alphabet alone."""
        coded = b64encode(name.encode(), b"-_")

        assert parse_metadata(b"filename " + coded) == {"filename": name.encode()}
        assert parse_metadata(b"filename " + coded.rstrip(b"=")) == {"filename": name.encode()}

    @pytest.mark.parametrize("told", ["sha1 " + "A" * 27 + "=", "crc32 AAAAAQ==", "sha512 AAAA", "nonsense"])
    def test_a_checksum_of_what_is_still_to_come(self, tus: TusInMemory, told: str) -> None:
        """A client that tells its headers with each request makes an upload; its bytes are checked when they come."""
        answer = tus.create(3, Upload_Checksum=told, Upload_Metadata=metadata(filename="a"))

        assert answer.status == 201
        path = answer.headers["location"].removeprefix("http://shop.example")
        assert tus.patch(path, 0, b"abc", Upload_Checksum="crc32 AAAAAQ==").status == 460
        assert tus.patch(path, 0, b"abc").offset == 3

    def test_a_checksum_of_an_upload_of_nothing(self, tus: TusInMemory) -> None:
        """All of it is there at POST, so it counts there."""
        assert tus.create(0, Upload_Checksum="crc32 AAAAAQ==").status == 460
        assert tus.create(0, Upload_Checksum="crc32 AAAAAA==").status == 201

    def test_a_checksum_of_what_comes_along(self, tus: TusInMemory) -> None:
        """Counts as before."""
        for told, status in (("crc32 AAAAAQ==", 460), ("sha0 AAAAAQ==", 400)):
            headers = {"Upload_Length": "5", "Content_Type": CHUNK, "Upload_Checksum": told}
            assert tus.request("POST", TUS_PATH, b"hello", **headers).status == status

    def test_how_a_checksum_is_written(self) -> None:
        """More blanks, and padding that was left away, are understood."""
        assert parse_checksum(b"crc32  AAAAAQ") == parse_checksum(b"crc32 AAAAAQ==")
