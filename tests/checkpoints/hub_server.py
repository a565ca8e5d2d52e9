"""A small Hub, in memory, that speaks as much of the protocol as the real client asks for, and fails on demand.

`python tests/checkpoints/hub_server.py --port 8765` serves until it is interrupted; with
`HF_ENDPOINT=http://127.0.0.1:8765` and `HF_TOKEN=good` the real client uses it.
"""

import argparse
import json
import re
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.checkpoints.hub_routes import GOOD_TOKEN, ID, ROUTES, Refused, Request, Store, blob_id, is_large, sha256


@dataclass
class Fault:
    """What goes wrong with the next requests that fit.

    Attributes:
        kind: an HTTP status; `refuse` (no answer), `lost` (carried out, but no answer), `cut`
            (closed after half the body), `short` (half the body, said to be whole), `flip` (one bit of the body).
        fits: a regular expression over `METHOD /path`.
        times: how many requests.
    """

    kind: int | str
    fits: str
    times: int


class Hub:
    """The server: what it has, what it was asked, and what shall go wrong."""

    def __init__(self, port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.lock = threading.RLock()
        self.started = False
        self.reset()

    def reset(self) -> None:
        self.store = Store(self.endpoint)
        self.faults: list[Fault] = []
        self.asked: list[str] = []

    def start(self) -> None:
        if not self.started:
            threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
            self.started = True

    def fail(self, kind: int | str, fits: str, times: int = 1) -> None:
        self.faults.append(Fault(kind, fits, times))

    def take_fault(self, request: str) -> int | str | None:
        """The fault that a request meets with, if any."""
        with self.lock:
            self.asked.append(request)
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.fits, request):
                    fault.times -= 1
                    return fault.kind
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers
    hub: Hub

    def log_message(self, *arguments: object) -> None:
        """Be silent; `Hub.asked` has it all."""

    def do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {unquote(self.path)}"
        fault = self.hub.take_fault(line)
        if fault == "refuse":
            self.close_connection = True
        elif isinstance(fault, int):
            self.reply(fault, json.dumps({"error": "injected"}).encode(), {"X-Error-Message": "injected"})
        else:
            header = self.headers.get("Authorization")
            try:
                self.answer(line, Request(header and header.removeprefix("Bearer "), body), fault)
            except Refused as refused:
                headers = {"X-Error-Message": refused.message} | (
                    {"X-Error-Code": refused.code} if refused.code else {}
                )
                self.reply(refused.status, json.dumps(refused.body).encode(), headers)

    do_GET = do_HEAD = do_POST = do_PUT = do

    def answer(self, line: str, request: Request, fault: str | None) -> None:
        resolved = re.match(rf"(GET|HEAD) /{ID}/resolve/(?P<revision>[^/]+)/(?P<path>[^?]+)", line)
        stored = re.match(r"(GET|HEAD) /large/(?P<oid>[0-9a-f]+)", line)
        if resolved:
            self.resolve(resolved["name"], resolved["revision"], resolved["path"], request, fault)
            return
        if stored:
            self.send_file(self.hub.store.large[stored["oid"]], {}, fault)
            return
        for pattern, handle in ROUTES:
            match = pattern.match(line) or pattern.match(line.split("?")[0])
            if match:
                with self.hub.lock:
                    found = handle(self.hub.store, request, **match.groupdict())
                if fault == "lost":
                    self.close_connection = True
                else:
                    self.reply(200, json.dumps(found).encode(), {})
                return
        raise Refused(404, f"this small Hub has no {line}")

    def resolve(self, name: str, revision: str, path: str, request: Request, fault: str | None) -> None:
        sha, files = self.hub.store.revision(name, revision, request.authorised)
        if path not in files:
            raise Refused(404, "Entry not found", "EntryNotFound")
        content = files[path]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob_id(content)}"'}
        if not is_large(path):
            self.send_file(content, headers, fault)
            return
        oid = sha256(content)
        self.hub.store.large[oid] = content
        headers |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
        # Another host, as the real one; at its own address the client would suspect a repository that was renamed.
        headers["Location"] = f"http://localhost:{self.hub.port}/large/{oid}"
        self.reply(302, b"", headers)

    def send_file(self, content: bytes, headers: dict[str, str], fault: str | None) -> None:
        status = 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and self.command == "GET":
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status, content = 206, content[start:]
        if fault == "flip":
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        if fault == "short":
            content = content[: len(content) // 2]
        self.reply(status, content, headers, cut=fault == "cut")

    def reply(self, status: int, content: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection |= cut


def main() -> None:
    parser = argparse.ArgumentParser(description="A small Hub in memory, for tests and for trying things out.")
    parser.add_argument("--port", type=int, default=8765)
    hub = Hub(parser.parse_args().port)
    print(f"a small Hub at {hub.endpoint}; its token is {GOOD_TOKEN!r}", flush=True)
    hub.server.serve_forever()


if __name__ == "__main__":
    main()
