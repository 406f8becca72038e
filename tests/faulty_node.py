"""A node whose connections break in every way that TCP knows."""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import TYPE_CHECKING

from daemon import PATIENCE
from trade import PATH, Trade

if TYPE_CHECKING:
    from daemon import Daemon

SO_ATTACH_FILTER = 26
BPF_RETURN = 0x06


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def go_deaf(line: socket.socket) -> None:
    """Let the kernel drop whatever comes for a socket from now on: nothing is acknowledged any more."""
    drop_all = _Instruction(BPF_RETURN, 0, 0, 0)
    program = _Program(1, ctypes.pointer(drop_all))
    line.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(program))


def reset(line: socket.socket) -> None:
    """Close a socket with RST."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


def connect(daemon: Daemon) -> socket.socket:
    """Open a connection to the daemon."""
    return socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)


def request(node: Trade, name: str, body: bytes) -> bytes:
    """Return the bytes of one piece."""
    head = (
        f"POST {PATH}?type=catalog&mode=file&filename={name}&sessid={node.sessid} HTTP/1.1\r\n"
        f"Host: shop.example\r\nCookie: {node.cookie}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer(line: socket.socket) -> bytes:
    """Read one answer; empty when the connection ends before it is whole."""
    read = b""
    try:
        while not read.endswith((b"\r\n\r\nsuccess", b"\nFile damaged")):
            block = line.recv(65536)
            if not block:
                return b""
            read += block
    except OSError:
        return b""
    return read


def logged_in(daemon: Daemon) -> Trade:
    """Return a node with a session."""
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.close()
    return node
