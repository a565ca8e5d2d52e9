"""What the small Hub answers: one function for each request that the real client makes."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

GOOD_TOKEN = "good"
LARGE = (".safetensors", ".png", ".bin")
"""Files with these endings are kept apart from git, as the Hub keeps large and binary ones."""


@dataclass
class Repository:
    """A repository: its commits, oldest first, each all of its files; its tags."""

    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    def add(self, files: dict[str, bytes], title: str = "by hand") -> str:
        digest = hashlib.sha1(f"{len(self.commits)} {sorted(files)}".encode())
        for content in files.values():
            digest.update(content)
        self.commits.append((digest.hexdigest(), files))
        self.titles.append(title)
        return self.head

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that a branch, tag or hash stands for."""
        wanted = self.head if revision == "main" else self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit[0] == wanted), None)


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, code: str = "", body: Any = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.body = {"error": message} if body is None else body


@dataclass
class Request:
    """Who asks, with what."""

    token: str | None
    body: bytes

    @property
    def authorised(self) -> bool:
        if self.token not in (None, GOOD_TOKEN):
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.token is not None

    def authorise(self) -> bool:
        if not self.authorised:
            raise Refused(401, "Invalid username or password.")
        return True

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Store:
    """All that the Hub has."""

    endpoint: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    collections: dict[str, dict[str, Any]] = field(default_factory=dict)

    def readable(self, name: str, authorised: bool) -> Repository:
        found = self.repositories.get(name)
        if found is None or (found.private and not authorised):
            raise Refused(404 if authorised else 401, "Repository not found", "RepoNotFound")
        return found

    def revision(self, name: str, revision: str, authorised: bool) -> tuple[str, dict[str, bytes]]:
        found = self.readable(name, authorised).files(revision)
        if found is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_large(path: str) -> bool:
    return path.endswith(LARGE)


ROUTES: list[tuple[re.Pattern[str], Callable[..., Any]]] = []


def route(pattern: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(handle: Callable[..., Any]) -> Callable[..., Any]:
        ROUTES.append((re.compile(pattern), handle))
        return handle

    return add


ID = r"(?P<name>[^/]+/[^/]+?)"


@route(r"GET /api/whoami-v2$")
def whoami(hub: Store, request: Request) -> Any:
    request.authorise()
    return {"type": "user", "name": "me", "orgs": [{"name": "zoo"}], "auth": {"type": "access_token"}}


@route(r"POST /api/repos/create$")
def create(hub: Store, request: Request) -> Any:
    request.authorise()
    asked = request.json()
    name = f"{asked.get('organization') or 'me'}/{asked['name']}"
    if name.split("/")[0] == "forbidden":
        raise Refused(403, "You don't have the rights to create a model under the namespace")
    url = f"{hub.endpoint}/{name}"
    if name in hub.repositories:
        raise Refused(409, "You already created this model repo", body={"url": url})
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    hub.repositories[name] = Repository(private)
    hub.repositories[name].add({".gitattributes": b"*.safetensors filter=lfs\n"})
    return {"url": url}


@route(r"POST /api/validate-yaml$")
def validate(hub: Store, request: Request) -> Any:
    return {"errors": [], "warnings": []}


@route(r"GET /api/models\?author=(?P<owner>[^&]+)")
def list_models(hub: Store, request: Request, owner: str) -> Any:
    return [
        {"id": name}
        for name, repository in sorted(hub.repositories.items())
        if name.startswith(f"{owner}/") and (request.authorised or not repository.private)
    ]


@route(rf"POST /api/models/{ID}/preupload/(?P<revision>[^/?]+)")
def preupload(hub: Store, request: Request, name: str, revision: str) -> Any:
    repository = hub.readable(name, request.authorise())
    _, there = repository.files(revision) or (None, {})

    def answer(path: str) -> dict[str, Any]:
        oid = None if path not in there else (sha256 if is_large(path) else blob_id)(there[path])
        return {"path": path, "uploadMode": "lfs" if is_large(path) else "regular", "shouldIgnore": False, "oid": oid}

    return {"files": [answer(file["path"]) for file in request.json()["files"]]}


@route(rf"POST /{ID}\.git/info/lfs/objects/batch$")
def batch(hub: Store, request: Request, name: str) -> Any:
    request.authorise()

    def answer(wanted: dict[str, Any]) -> dict[str, Any]:
        upload = {"upload": {"href": f"{hub.endpoint}/large/{wanted['oid']}", "header": {}}}
        stored = wanted["oid"] in hub.large
        return {"oid": wanted["oid"], "size": wanted["size"]} | ({} if stored else {"actions": upload})

    return {"transfer": "basic", "objects": [answer(wanted) for wanted in request.json()["objects"]]}


@route(r"PUT /large/(?P<oid>[0-9a-f]+)$")
def put(hub: Store, request: Request, oid: str) -> Any:
    if sha256(request.body) != oid:
        raise Refused(400, "the content is not what its name says")
    hub.large[oid] = request.body
    return {}


@route(rf"POST /api/models/{ID}/commit/(?P<revision>[^/?]+)")
def commit(hub: Store, request: Request, name: str, revision: str) -> Any:
    repository = hub.readable(name, request.authorise())
    files = dict(repository.commits[-1][1])
    for line in request.body.splitlines():
        entry = json.loads(line)
        value = entry["value"]
        if entry["key"] == "header":
            title = value["summary"]
        if entry["key"] == "header" and value.get("parentCommit") not in (None, repository.head):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        if entry["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        if entry["key"] == "deletedFile":
            del files[value["path"]]
        if entry["key"] == "lfsFile":
            if value["oid"] not in hub.large:
                raise Refused(400, "the large file was never uploaded")
            files[value["path"]] = hub.large[value["oid"]]
    oid = repository.add(files, title)
    return {"success": True, "commitOid": oid, "commitUrl": f"{hub.endpoint}/{name}/commit/{oid}", "hookOutput": ""}


@route(rf"GET /api/models/{ID}/tree/(?P<revision>[^/?]+)")
def tree(hub: Store, request: Request, name: str, revision: str) -> Any:
    _, files = hub.revision(name, revision, request.authorised)

    def entry(path: str, content: bytes) -> dict[str, Any]:
        plain = {"type": "file", "oid": blob_id(content), "size": len(content), "path": path}
        large = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
        return plain | ({"lfs": large} if is_large(path) else {})

    return [entry(path, content) for path, content in sorted(files.items())]


@route(rf"GET /api/models/{ID}/commits/(?P<revision>[^/?]+)")
def commits(hub: Store, request: Request, name: str, revision: str) -> Any:
    repository = hub.readable(name, request.authorised)
    date = "2026-01-01T00:00:00.000Z"
    return [
        {"id": sha, "title": title, "message": "", "authors": [], "date": date}
        for (sha, _), title in reversed(list(zip(repository.commits, repository.titles, strict=True)))
    ]


@route(rf"GET /api/models/{ID}/refs$")
def refs(hub: Store, request: Request, name: str) -> Any:
    repository = hub.readable(name, request.authorised)
    tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": sha} for tag, sha in repository.tags.items()]
    branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}]
    return {"branches": branches, "converts": [], "tags": tags}


@route(rf"POST /api/models/{ID}/tag/(?P<revision>[^/?]+)$")
def tag(hub: Store, request: Request, name: str, revision: str) -> Any:
    repository = hub.readable(name, request.authorise())
    wanted = request.json()["tag"]
    if wanted in repository.tags:
        raise Refused(409, "Tag reference exists already")
    repository.tags[wanted] = hub.revision(name, revision, request.authorised)[0]
    return {}


@route(rf"GET /api/models/{ID}(/revision/(?P<revision>[^/?]+))?$")
def info(hub: Store, request: Request, name: str, revision: str | None = None) -> Any:
    sha, files = hub.revision(name, revision or "main", request.authorised)
    siblings = [{"rfilename": path} for path in files]
    return {"id": name, "sha": sha, "private": hub.repositories[name].private, "tags": [], "siblings": siblings}


@route(r"POST /api/collections$")
def create_collection(hub: Store, request: Request) -> Any:
    request.authorise()
    asked = request.json()
    slug = f"{asked['namespace']}/{re.sub('[^a-z0-9]+', '-', asked['title'].lower())}-{'0' * 24}"
    if slug in hub.collections:
        raise Refused(409, "Collection exists", body={"slug": slug})
    owner = {"name": asked["namespace"], "type": "user", "fullname": "", "avatarUrl": "", "isPro": False}
    hub.collections[slug] = {
        "slug": slug, "title": asked["title"], "owner": owner, "items": [], "lastUpdated": "2026-01-01T00:00:00.000Z",
        "position": 0, "private": asked.get("private", False), "theme": "blue", "upvotes": 0, "isUpvotedByUser": False,
    }  # fmt: skip
    return hub.collections[slug]


@route(r"GET /api/collections/(?P<slug>.+)$")
def get_collection(hub: Store, request: Request, slug: str) -> Any:
    return hub.collections[slug]


@route(r"POST /api/collections/(?P<slug>.+)/items?$")
def add_item(hub: Store, request: Request, slug: str) -> Any:
    request.authorise()
    item = request.json()["item"]["id"]
    items = hub.collections[slug]["items"]
    if any(there["id"] == item for there in items):
        raise Refused(409, "Item exists")
    items.append({"_id": f"{len(items):024d}", "id": item, "type": "model", "position": len(items)})
    return hub.collections[slug]
