"""A served release binary for the scripts that look at the whole process: start, memory, descriptors, raw HTTP."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT

HASH_OF_SECRET = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
API_TOKEN = {
    "sha256": HASH_OF_SECRET,
    "token": 'Fleet::ApiToken::"t-noexp"',
    "kind": "user_api",
    "user": 'Fleet::User::"u-dk-fda-dm"',
}
CONTEXT = {"now": "2026-11-21T12:00:00Z", "auth": {"method": "password", "mfa": False}}


class Server:
    """One sidecar in a directory of its own, with a copy of the project's policies, entities and routes."""

    def __init__(self, binary, port, settings=None, policies=None, entities=None, pipe=None):
        self.dir = Path(tempfile.mkdtemp(prefix="palisade-"))
        self.process = self.pipe = None
        self.decisions, self.admin, self.grpc = port, port + 1, port + 2
        for name, given in (("policies", policies), ("entities", entities), ("routes", None)):
            if given is None:
                shutil.copytree(ROOT / name, self.dir / name)
            else:
                (self.dir / name).mkdir()
                for file, text in given.items():
                    (self.dir / name / file).write_text(text)
        if policies is not None:  # the routes are about the project's schema
            shutil.rmtree(self.dir / "routes")
        (self.dir / "tokens.ndjson").write_text(json.dumps(API_TOKEN) + "\n")
        config = {
            "listen": {
                "decisions": f"127.0.0.1:{self.decisions}",
                "admin": f"127.0.0.1:{self.admin}",
                "grpc": f"127.0.0.1:{self.grpc}",
            },
            "authzen": {"namespace": "Fleet"},
            "identity": {"api_tokens": {"file": str(self.dir / "tokens.ndjson")}},
        }
        for section, keys in (settings or {}).items():
            config.setdefault(section, {}).update(keys)
        # YAML reads JSON
        (self.dir / "palisade.yaml").write_text(json.dumps(config))
        if pipe:
            os.mkfifo(self.dir / pipe)
            # a reader must have it open, or opening it to write waits or fails; nothing is read from it
            self.pipe = os.open(self.dir / pipe, os.O_RDWR)
        self.log = open(self.dir / "log", "wb")
        self.process = subprocess.Popen(
            [str(binary), "serve"],
            cwd=self.dir,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            env={**os.environ, "PALISADE_LOG__FORMAT": "json"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def logged(self, size=2000):
        return (self.dir / "log").read_text(errors="replace")[-size:]

    def alive(self):
        return self.process.poll() is None

    def until_live(self, patience=30):
        """Waits until it answers at all. Raises Unknown where the binary does not know a key."""
        return self._until(b"/livez", patience)

    def until_ready(self, patience=60):
        return self._until(b"/readyz", patience)

    def _until(self, path, patience):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if not self.alive():
                if self.process.returncode == 64:
                    raise Unknown(self.logged(300))
                sys.exit(f"the sidecar ended with {self.process.returncode}:\n{self.logged()}")
            try:
                if get(self.admin, path.decode())[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        sys.exit(f"{path.decode()} was not 200 within {patience} s:\n{self.logged()}")

    def memory(self):
        """Resident now and at the peak, in KiB."""
        return memory(self.pid)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def stop(self):
        if self.process and self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        if self.pipe is not None:
            os.close(self.pipe)
        shutil.rmtree(self.dir, ignore_errors=True)


class Unknown(Exception):
    """The binary does not know a key: a row of a newer sidecar."""


def memory(pid):
    fields = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(("VmRSS:", "VmHWM:")):
            fields[line[:5]] = int(line.split()[1])
    return fields.get("VmRSS", 0), fields.get("VmHWM", 0)


def connect(port, timeout=60.0):
    client = socket.create_connection(("127.0.0.1", port), timeout)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def request(method, path, body=b"", headers=(), host="localhost"):
    """The bytes of one request. A body is JSON unless the headers say otherwise."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"content-length: {len(body)}")
        if not any(name == "content-type" for name, _ in headers):
            lines.append("content-type: application/json")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Answers:
    """Reads the answers of one connection, in their order."""

    def __init__(self, client):
        self.client, self.buffer = client, b""

    def _more(self):
        piece = self.client.recv(1 << 18)
        if not piece:
            raise ConnectionError("the connection ended within an answer" if self.buffer else "the connection ended")
        self.buffer += piece

    def _take(self, size):
        if len(self.buffer) < size:
            pieces, have = [self.buffer], len(self.buffer)
            while have < size:
                piece = self.client.recv(1 << 18)
                if not piece:
                    raise ConnectionError("the connection ended within an answer")
                pieces.append(piece)
                have += len(piece)
            self.buffer = b"".join(pieces)
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def next(self):
        """Status, head (small letters), body."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self._more()
        head, self.buffer = self.buffer[:end].lower() + b"\r\n", self.buffer[end + 4 :]
        status = int(head[9:12])
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            return status, head, self._take(int(head[at + 17 : head.index(b"\r\n", at + 2)]))
        if b"\r\ntransfer-encoding: chunked" not in head:
            return status, head, b""
        body = []
        while size := int(self._line(), 16):
            body.append(self._take(size))
            self._take(2)
        self._take(2)
        return status, head, b"".join(body)


def ask(port, data, timeout=120.0):
    """Sends bytes over a connection of their own and returns status, head, body."""
    with connect(port, timeout) as client:
        try:
            client.sendall(data)
        except ConnectionError:
            pass  # refused before all of it was read: the answer may be there
        return Answers(client).next()


def get(port, path, timeout=10.0):
    return ask(port, request("GET", path), timeout)


def code_of(body):
    """The code of a problem, or what can be said instead."""
    try:
        return json.loads(body).get("code") or ""
    except (ValueError, AttributeError):
        return ""
