"""What gateways ask, for scripts that ask it themselves: an issuer with one caller's token, and a question in each dialect.

Needs openssl, for the keys and the signature.
"""

import base64
import json
import re
import socket
import struct
import subprocess
import time

# What `--bench gateway` asks too.
DIALECTS = [
    (
        "nginx",
        "GET /gateway/nginx HTTP/1.1\r\nhost: authz\r\nx-original-method: GET\r\n"
        "x-original-uri: /dongle/devices/d-dk/\r\nx-original-host: api.autopi.io\r\n",
    ),
    (
        "forward",
        "GET /gateway/forward HTTP/1.1\r\nhost: authz\r\nx-forwarded-method: GET\r\n"
        "x-forwarded-uri: /dongle/devices/d-dk/\r\nx-forwarded-host: api.autopi.io\r\nx-forwarded-for: 192.0.2.7\r\n",
    ),
    ("Envoy over HTTP", "GET /gateway/envoy/dongle/devices/d-dk/ HTTP/1.1\r\nhost: api.autopi.io\r\n"),
]

# What a browser sends besides, which gateways pass on.
BROWSER = (
    'sec-ch-ua: "Chromium";v="130", "Not?A_Brand";v="99"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: "Linux"\r\n'
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n"
    "accept: application/json, text/plain, */*\r\naccept-language: en-GB,en;q=0.9,da;q=0.8\r\naccept-encoding: gzip, deflate, br\r\n"
    "sec-fetch-site: same-origin\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\nreferer: https://app.example.com/devices\r\n"
    "cookie: theme=dark; session=0123456789abcdef\r\nx-forwarded-proto: https\r\nx-real-ip: 192.0.2.7\r\n"
)


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*args, given=b""):
    return subprocess.run(["openssl", *args], input=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout


class Issuer:
    """Keys, a configuration that knows them, and a token of one who may see the device that is asked for."""

    def __init__(self, directory, data):
        key = f"{directory}/key.pem"
        openssl("genrsa", "-out", key, "2048")
        modulus = bytes.fromhex(openssl("rsa", "-in", key, "-noout", "-modulus").decode().strip().split("=")[1])
        public = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "n": encode(modulus), "e": "AQAB"}
        keys = f"{directory}/jwks.json"
        with open(keys, "w") as file:
            json.dump({"keys": [public]}, file)
        head = {"alg": "RS256", "kid": "k", "typ": "JWT"}
        claims = {
            "iss": "https://id.example.com",
            "aud": "fleet",
            "sub": "u-dk-fda-dm",
            "exp": int(time.time()) + 86_400,
            "amr": ["pwd", "mfa"],
            "name": "A user of the denmark customer",
            "scope": "openid profile email",
        }
        message = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
        self.token = f"{message}.{encode(openssl('dgst', '-sha256', '-sign', key, given=message.encode()))}"
        issuer = {
            "issuer": "https://id.example.com",
            "audiences": ["fleet"],
            "jwks": {"file": keys},
            "claims": {"principal": 'Fleet::User::"{sub}"', "mfa": {"amr": ["mfa"]}},
        }
        self.config = f"{directory}/palisade.yaml"
        with open(self.config, "w") as file:
            settings = {"gateway": {"deadline": "60s"}, "identity": {"issuers": [issuer]}, "routes": f"{data}/routes"}
            json.dump(settings, file)


def answer(stream):
    """Reads one answer whole: its status, its head with the empty line, and its body."""
    read = b""
    while True:
        end = read.find(b"\r\n\r\n") + 4
        if end >= 4:
            length = int(re.search(rb"content-length: (\d+)", read[:end].lower()).group(1))
            if len(read) >= end + length:
                return int(read[9:12]), read[:end], read[end:]
        some = stream.recv(1 << 20)
        if not some:
            raise OSError("the server closed the connection")
        read += some


class Http:
    """One kept connection, and one question that is asked over it."""

    def __init__(self, port, head, token):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = f"{head}authorization: Bearer {token}\r\n\r\n".encode()

    def ask(self):
        """The status, and the answer."""
        self.stream.sendall(self.request)
        status, head, body = answer(self.stream)
        return status, head + body


class Grpc:
    """One HTTP/2 connection, and Envoy's question over it."""

    DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 4, 6, 7, 8

    def __init__(self, port, token):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # windows that last
        settings = struct.pack(">HI", 4, 0x7FFFFFFF)
        window = struct.pack(">I", 0x7FFF0000)
        self.stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(self.SETTINGS, 0, 0, settings) + frame(self.WINDOW, 0, 0, window))
        self.id = -1
        self.got = b""
        literal = lambda name, value: b"\x00" + text(name) + text(value)
        # static: POST, http
        self.head = b"\x83\x86" + literal(":path", "/envoy.service.auth.v3.Authorization/Check")
        self.head += literal(":authority", "127.0.0.1") + literal("content-type", "application/grpc") + literal("te", "trailers")
        message = check_request(token)
        self.body = b"\0" + struct.pack(">I", len(message)) + message

    def ask(self):
        """200 if Envoy would let the request pass, else 403; and the message."""
        self.id += 2
        self.stream.sendall(frame(self.HEADERS, 4, self.id, self.head) + frame(self.DATA, 1, self.id, self.body))
        message = b""
        while True:
            kind, flags, stream, payload = self.read()
            if kind == self.SETTINGS and not flags & 1:
                self.stream.sendall(frame(self.SETTINGS, 1, 0, b""))
            elif kind == self.PING and not flags & 1:
                self.stream.sendall(frame(self.PING, 1, 0, payload))
            elif kind == self.GOAWAY:
                raise OSError("the server closed the connection")
            elif kind == self.DATA and stream == self.id:
                message += payload
            if stream == self.id and flags & 1 and kind in (self.DATA, self.HEADERS):
                # the first field is the status, and an `Ok` is an empty one
                return (200 if message[5:7] == b"\x0a\x00" else 403), message

    def read(self):
        while len(self.got) < 9 or len(self.got) < 9 + int.from_bytes(self.got[:3], "big"):
            some = self.stream.recv(1 << 16)
            if not some:
                raise OSError("the server closed the connection")
            self.got += some
        length = int.from_bytes(self.got[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.got[3:9])
        payload, self.got = self.got[9 : 9 + length], self.got[9 + length :]
        return kind, flags, stream, payload


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def text(value):
    """A text as HPACK has it, not compressed."""
    value = value.encode()
    assert len(value) < 127
    return bytes([len(value)]) + value


def field(number, value):
    """A field of a message: a text, or a message in it."""
    value = value.encode() if isinstance(value, str) else value
    length, size = b"", len(value)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def check_request(token):
    """What Envoy says of a browser's request."""
    headers = {
        ":authority": "api.autopi.io",
        ":method": "GET",
        ":path": "/dongle/devices/d-dk/",
        ":scheme": "https",
        "accept": "application/json",
        "user-agent": "curl/8.5.0",
        "x-forwarded-proto": "https",
        "x-request-id": "7b1f2a64-0e0e-4f6c-9a0b-2f6d0f0f7f11",
        "authorization": f"Bearer {token}",
    }
    http = field(1, "1634") + field(2, "GET")
    http += b"".join(field(3, field(1, name) + field(2, value)) for name, value in headers.items())
    http += field(4, "/dongle/devices/d-dk/") + field(5, "api.autopi.io") + field(6, "https") + field(10, "HTTP/2")
    return field(1, field(4, field(2, http)))
