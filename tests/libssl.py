"""A node's TLS by the OpenSSL of Python's own ``ssl``: it can ask for new keys, which pyOpenSSL cannot."""

from __future__ import annotations

import _ssl
import ctypes
from typing import Any

from attrs import define

CTRL_MIN_VERSION, TLS_1_3 = 123, 0x0304
"""``SSL_CTRL_SET_MIN_PROTO_VERSION``, and the version's number (RFC 8446 section 4.2.1)."""

UPDATE_NOT_REQUESTED, UPDATE_REQUESTED = 0, 1
"""Whether the other side shall change its keys as well (RFC 8446 section 4.6.3)."""

POINTERS = ("TLS_client_method", "SSL_CTX_new", "SSL_new", "BIO_s_mem", "BIO_new")


def libssl() -> Any:
    """Return OpenSSL; None where Python was linked with it for good."""
    library = ctypes.CDLL(getattr(_ssl, "__file__", None))
    if not all(hasattr(library, name) for name in (*POINTERS, "SSL_key_update")):
        return None
    for name in POINTERS:
        getattr(library, name).restype = ctypes.c_void_p
    return library


@define(eq=False)
class KeyChanger:
    """A node that speaks TLS 1.3, and changes its keys when it is told to; see ``TlsNode``."""

    library: Any
    ssl: Any
    incoming: Any
    outgoing: Any
    received: bytes = b""
    ended: str | None = None

    @classmethod
    def make(cls, library: Any) -> KeyChanger:
        """Make one."""
        context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        library.SSL_CTX_ctrl(context, CTRL_MIN_VERSION, ctypes.c_long(TLS_1_3), None)
        ssl = ctypes.c_void_p(library.SSL_new(context))
        library.SSL_CTX_free(context)
        memory = ctypes.c_void_p(library.BIO_s_mem())
        incoming, outgoing = (ctypes.c_void_p(library.BIO_new(memory)) for _ in range(2))
        library.SSL_set_bio(ssl, incoming, outgoing)
        library.SSL_set_connect_state(ssl)
        return cls(library, ssl, incoming, outgoing)

    def shake_hands(self) -> bytes:
        """Go on with the handshake; return what to send."""
        self.library.SSL_do_handshake(self.ssl)
        return self.to_send()

    def records(self, data: bytes, size: int = 16384) -> bytes:
        """Return the records of some bytes, each of ``size`` of them."""
        for start in range(0, len(data), size):
            part = data[start : start + size]
            assert self.library.SSL_write(self.ssl, part, len(part)) == len(part)
        return self.to_send()

    def change_keys(self, how: int) -> bytes:
        """Return a record that changes our keys, and may ask the server to change its own."""
        assert self.library.SSL_key_update(self.ssl, how) == 1
        assert self.library.SSL_do_handshake(self.ssl) == 1
        return self.to_send()

    def to_send(self) -> bytes:
        """Return the bytes that it has to send."""
        buffer, made = ctypes.create_string_buffer(65536), b""
        while (size := self.library.BIO_read(self.outgoing, buffer, len(buffer))) > 0:
            made += buffer.raw[:size]
        return made

    def take(self, data: bytes) -> None:
        """Take what the server has sent."""
        self.library.BIO_write(self.incoming, data, len(data))
        buffer = ctypes.create_string_buffer(65536)
        while (size := self.library.SSL_read(self.ssl, buffer, len(buffer))) > 0:
            self.received += buffer.raw[:size]

    def close(self) -> None:
        """Free it."""
        self.library.SSL_free(self.ssl)
