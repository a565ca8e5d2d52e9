"""Faults between a checkpoint and the Hub, with the outcome that each must have."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checkpoints.changes import flip_bit
from tests.checkpoints.hub_server import Hub

ALWAYS = 10_000

Inject = Callable[[Hub, Path], None]
"""Given the small Hub and the folder in the cache (where there is one), makes something go wrong."""

SERVED = "done"
REFUSED = "cannot be reached|client failed"


@dataclass(frozen=True)
class Case:
    """A fault.

    Attributes:
        name: what goes wrong.
        outcome: `done`, or a regular expression over the one line.
        inject: makes it go wrong.
        cached: the checkpoint lies in the cache before.
    """

    name: str
    outcome: str
    inject: Inject
    cached: bool = False


def on_request(kind: int | str, fits: str, times: int) -> Inject:
    return lambda hub, _: hub.fail(kind, fits, times)


def on_file(damage: Callable[[Path], object], name: str) -> Inject:
    return lambda _, folder: damage(folder / name) and None


def cut_line(path: Path) -> None:
    path.resolve().write_text("".join(path.read_text().splitlines(keepends=True)[:1]))


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.resolve().write_bytes(content[: len(content) // 2])


_READS = {
    "the repository's description": r"GET /api/models/zoo/[^/]*(/revision/main)?$",
    "its list of files": r"GET /api/models/.*/tree/",
    "a file's head": r"HEAD /zoo/.*/resolve/",
    "a small file": r"GET /zoo/.*/resolve/.*/config.json",
    "a large file": r"GET /large/",
}
_WRITES = {
    "the new repository": r"POST /api/repos/create",
    "its description": r"GET /api/models/zoo/[^/]*$",
    "its list of files": r"GET /api/models/.*/tree/",
    "the card's check": r"POST /api/validate-yaml",
    "how files are to be sent": r"POST /api/models/.*/preupload/",
    "where large files go": r"POST /.*/info/lfs/objects/batch",
    "a large file": r"PUT /large/",
    "the commit": r"POST /api/models/.*/commit/",
    "the list of tags": r"GET /api/models/.*/refs",
    "the tag": r"POST /api/models/.*/tag/",
}


def _loads() -> Iterator[Case]:
    for what, fits in _READS.items():
        for status in (503, 429):
            yield Case(f"{status} on {what}, once", SERVED, on_request(status, fits, 1))
        yield Case(f"connection closed on {what}, once", SERVED, on_request("refuse", fits, 1))
        yield Case(f"503 on {what}, always", REFUSED, on_request(503, fits, ALWAYS))
        yield Case(f"connection closed on {what}, always", REFUSED, on_request("refuse", fits, ALWAYS))
        yield Case(f"503 on {what}, always, cached", SERVED, on_request(503, fits, ALWAYS), cached=True)
        yield Case(
            f"connection closed on {what}, always, cached", SERVED, on_request("refuse", fits, ALWAYS), cached=True
        )
    for status in (500, 502, 504):
        fits = _READS["the repository's description"]
        yield Case(f"{status} on the repository's description, once", SERVED, on_request(status, fits, 1))
    bodies = {"config.json": _READS["a small file"], "model.safetensors": _READS["a large file"]}
    for name, fits in bodies.items():
        yield Case(f"{name} cut in the middle, once", SERVED, on_request("cut", fits, 1))
        yield Case(f"{name} cut in the middle, always", REFUSED, on_request("cut", fits, ALWAYS))
        yield Case(f"{name} sent short, once", SERVED, on_request("short", fits, 1))
        yield Case(f"{name} sent short, always", REFUSED, on_request("short", fits, ALWAYS))
        yield Case(f"a bit of {name} flipped on the way, once", SERVED, on_request("flip", fits, 1))
        yield Case(
            f"a bit of {name} flipped on the way, always",
            "is damaged in the cache.*a new download failed",
            on_request("flip", fits, ALWAYS),
        )
    for name, place in (("in a hash", 3), ("in a name", 70), ("at a line's end", 64 + 2 + 9)):
        damage = on_file(lambda path, place=place: flip_bit(path, place), "SHA256SUMS")
        yield Case(f"a bit of SHA256SUMS flipped {name} in the cache", SERVED, damage, cached=True)
    yield Case("SHA256SUMS cut at a line's end in the cache", SERVED, on_file(cut_line, "SHA256SUMS"), cached=True)
    for name in ("config.json", "model.safetensors", "SHA256SUMS"):
        yield Case(f"a bit of {name} flipped in the cache", SERVED, on_file(flip_bit, name), cached=True)
        yield Case(f"{name} truncated in the cache", SERVED, on_file(truncate, name), cached=True)
        yield Case(f"{name} gone from the cache", SERVED, on_file(Path.unlink, name), cached=True)


def _publications() -> Iterator[Case]:
    for status in (500, 502, 504):
        yield Case(f"{status} on the commit, once", SERVED, on_request(status, _WRITES["the commit"], 1))
    for what, fits in _WRITES.items():
        for status in (503, 429):
            yield Case(f"{status} on {what}, once", SERVED, on_request(status, fits, 1))
        yield Case(f"connection closed on {what}, once", SERVED, on_request("refuse", fits, 1))
        yield Case(f"503 on {what}, always", REFUSED, on_request(503, fits, ALWAYS))
    for what in ("the new repository", "the commit", "the tag"):
        yield Case(f"answer lost on {what}, once", SERVED, on_request("lost", _WRITES[what], 1))
    yield Case("stale parent, once", SERVED, on_request(412, _WRITES["the commit"], 1))
    yield Case("stale parent, always", REFUSED, on_request(412, _WRITES["the commit"], ALWAYS))
    yield Case("another commit in progress, once", SERVED, on_request(409, _WRITES["the commit"], 1))


LOADS = tuple(_loads())
PUBLICATIONS = tuple(_publications())


def kind_of(case: Case) -> str:
    """Name a fault without the request or file that it hits."""
    kind = re.sub(r" on (?!the way)(the|its|a|how|where) [^,]*", " on each request", case.name)
    kind = re.sub(r"(config.json|model.safetensors|SHA256SUMS)", "a file", kind)
    return kind.replace("a bit of a file", "a bit")


def one_of_each_kind(cases: tuple[Case, ...], preferred: str) -> list[Case]:
    """Choose one case of each kind: the one that hits the preferred request, or else the last one."""
    chosen: dict[str, Case] = {}
    for case in cases:
        if preferred not in chosen.setdefault(kind_of(case), case).name:
            chosen[kind_of(case)] = case
    return list(chosen.values())


def table() -> str:
    """Count the faults of each kind and their outcomes, as docs/hub.md shows them."""
    rows: dict[tuple[str, str], list[bool]] = {}
    for doing, cases in (("loading", LOADS), ("publishing", PUBLICATIONS)):
        for case in cases:
            rows.setdefault((doing, kind_of(case)), []).append(case.outcome == SERVED)
    lines = ["| while | fault | cases | right weights, or published once | one error line | lost |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for (doing, kind), done in rows.items():
        lines.append(f"| {doing} | {kind} | {len(done)} | {sum(done)} | {len(done) - sum(done)} | 0 |")
    done = [case.outcome == SERVED for case in LOADS + PUBLICATIONS]
    lines.append(f"| | all | {len(done)} | {sum(done)} | {len(done) - sum(done)} | 0 |")
    return "\n".join(lines)
