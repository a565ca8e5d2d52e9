"""As much of the Hub as `datasets` asks for: one data set, its commits and what they are called."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlparse

NAME = "me/tiny"


class DataSetHub(BaseHTTPRequestHandler):
    """Answers; `commits` has each commit's files, `revisions` what a branch or tag stands for, `asked` the requests."""

    protocol_version = "HTTP/1.1"
    commits: dict[str, dict[str, bytes]]
    revisions: dict[str, str]
    asked: list[str]

    @classmethod
    def with_nothing(cls) -> type["DataSetHub"]:
        return type("Fresh", (cls,), {"commits": {}, "revisions": {}, "asked": []})

    @classmethod
    def commit(cls, files: dict[str, bytes], *revisions: str) -> str:
        sha = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        cls.commits[sha] = files
        cls.revisions |= dict.fromkeys(revisions, sha)
        return sha

    def log_message(self, *arguments: object) -> None:
        """Be silent; `asked` has it all."""

    def do(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlparse(self.path).path)
        self.asked.append(f"{self.command} {path}")
        api = re.fullmatch(rf"/api/datasets/{NAME}(?:/(revision|tree)/([^/]+)(?:/(.*))?)?", path)
        file = re.fullmatch(rf"/datasets/{NAME}/resolve/([^/]+)/(.+)", path)
        if not api and not file:
            self.reply(404, error="RepoNotFound")
            return
        revision = file[1] if file else api[2] or "main"
        sha = self.revisions.get(revision, revision)
        files = self.commits.get(sha)
        if files is None:
            self.reply(404, error="RevisionNotFound")
        elif file and file[2] in files:
            content = files[file[2]]
            self.reply(200, content, {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": sha})
        elif api and api[1] != "tree":
            siblings = [{"rfilename": name} for name in files]
            self.reply(200, json.dumps({"id": NAME, "sha": sha, "siblings": siblings, "tags": []}).encode())
        elif api and (entries := _entries(files, api[3])):
            self.reply(200, json.dumps(entries).encode())
        else:
            self.reply(404, headers={"X-Repo-Commit": sha}, error="EntryNotFound")

    do_GET = do_HEAD = do_POST = do

    def reply(self, status: int, content: bytes = b"{}", headers: dict | None = None, error: str | None = None) -> None:
        self.send_response(status)
        for key, value in ((headers or {}) | ({"X-Error-Code": error} if error else {})).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _entries(files: dict[str, bytes], folder: str | None) -> list[dict]:
    """What lies in a folder itself."""
    start = f"{folder}/" if folder else ""
    found = {}
    for name, content in files.items():
        if name.startswith(start):
            first, below, _ = name.removeprefix(start).partition("/")
            kind = {"type": "directory", "oid": "0" * 40} if below else {"type": "file", "oid": _oid(content)}
            found[first] = kind | {"path": start + first, "size": len(content)}
    return list(found.values())
