"""Clients that do what none should: the soak runs them beside its requests. Each kind is one round, again and again."""

import json
import socket
import struct
import threading
import time

from served import connect, request

CONTEXT = {"now": "2026-11-21T12:00:00Z", "auth": {"method": "password", "mfa": False}}
ITEM = {
    "principal": 'Fleet::User::"u-dk-fda-dm"',
    "action": 'Fleet::Action::"ViewDevice"',
    "resource": 'Fleet::Device::"d-dk"',
    "context": CONTEXT,
}


def reset(client):
    """Closes with a reset instead of an end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def drip(port, start, piece, pause, seconds):
    """Many connections that send a little at a time, until they are closed."""
    clients = [connect(port, 2) for _ in range(20)]
    for client in clients:
        client.sendall(start)
    end = time.monotonic() + seconds
    while clients and time.monotonic() < end:
        for client in list(clients):
            try:
                client.sendall(piece)
            except OSError:
                client.close()
                clients.remove(client)
        time.sleep(pause)
    for client in clients:
        client.close()


def slow_heads(port):
    drip(port, b"POST /v1/is_authorized HTTP/1.1\r\nhost: localhost\r\nx-slow: ", b"a", 0.5, 15)


def slow_bodies(port):
    start = b"POST /v1/is_authorized HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 90000\r\n\r\n"
    drip(port, start, b" ", 0.5, 15)


def half_open(port):
    """Half a request, then an end of writing, a reset, or silence."""
    clients = [connect(port, 2) for _ in range(30)]
    for n, client in enumerate(clients):
        client.sendall(request("POST", "/v1/is_authorized", json.dumps(ITEM).encode())[: 20 + 7 * n])
        if n % 3 == 0:
            client.shutdown(socket.SHUT_WR)
        elif n % 3 == 1:
            reset(client)
    time.sleep(2)
    for client in clients:
        client.close()


def large_bodies(port):
    """Just too large, just not, deep, and a head that is too large."""
    padded = json.dumps({**ITEM, "context": {"pad": "x" * 1_000_000}}).encode()
    for data in (
        request("POST", "/v1/is_authorized", b'"' + b"x" * (1 << 20) + b'"'),
        request("POST", "/v1/is_authorized", padded),
        request("POST", "/v1/is_authorized", b"[" * 500_000),
        request("GET", "/livez", headers=[("x-large", "y" * 60_000)]),
    ):
        with connect(port, 5) as client:
            try:
                client.sendall(data)
                client.recv(4096)
            except OSError:
                pass
    time.sleep(0.5)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field of HPACK without index and without Huffman's code."""
    assert len(name) < 127 and len(value) < 127
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def h2_resets(port):
    """HTTP/2 streams that are opened and reset at once, until the server says that it is enough."""
    fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/v1/is_authorized"), (b":authority", b"localhost"))
    block = b"".join(literal(*field) for field in (*fields, (b"content-type", b"application/json")))
    with connect(port, 2) as client:
        try:
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
            for stream in range(1, 2001, 2):
                client.sendall(frame(1, 4, stream, block) + frame(3, 0, stream, struct.pack(">I", 8)))
            client.recv(65536)
        except OSError:
            pass
    time.sleep(0.5)


def unread(port):
    """Answers that are not taken."""
    batch = request("POST", "/v1/is_authorized/batch", json.dumps({"requests": [ITEM] * 500}).encode())
    clients = []
    for _ in range(4):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(1)
        client.connect(("127.0.0.1", port))
        clients.append(client)
        try:
            for _ in range(10):
                client.sendall(batch)
        except OSError:
            pass
    time.sleep(5)
    for client in clients:
        reset(client)


def churn(port):
    """Connections that come and go, with a request, without, or with a reset."""
    for n in range(50):
        client = connect(port, 2)
        try:
            if n % 3:
                client.sendall(request("GET", "/.well-known/authzen-configuration"))
            if n % 3 == 2:
                client.recv(4096)
        except OSError:
            pass
        reset(client) if n % 2 else client.close()
    time.sleep(0.25)


KINDS = {
    "slow heads": slow_heads,
    "slow bodies": slow_bodies,
    "half open": half_open,
    "large bodies": large_bodies,
    "resets over HTTP/2": h2_resets,
    "unread answers": unread,
    "churn": churn,
}


def hostile(port, stop):
    """Runs every kind in a thread of its own until `stop` says so. Returns the rounds of each."""
    counts = {}

    def repeat(kind, work):
        while not stop.value:
            try:
                work(port)
                counts[kind] = counts.get(kind, 0) + 1
            except OSError:
                time.sleep(0.2)  # it was refused, which is one way to treat it

    threads = [threading.Thread(target=repeat, args=item, daemon=True) for item in KINDS.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20 if stop.value else None)
    return counts
