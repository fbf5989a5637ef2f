"""A local stand-in for the Hugging Face Hub's HTTP interface: repositories, commits, large files, downloads.

What huggingface_hub asks is answered as the hub does; a test can let requests fail, be cut off, or damage content.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
import types
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support import slow_s3
from tests.support.slow_s3 import AnyMethodHandler

TOKEN = "hf_testtoken0123456789"
USER = "ann"
LARGE = (".h5", ".tar", ".parquet", ".safetensors", ".onnx", ".pt")  # large files, as in the hub's .gitattributes
_API = re.compile(r"/api/(dataset|model)s/([^/]+/[^/]+)(?:/(\w+)(?:/([^/?]+))?)?")
_RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")

Files = dict[str, bytes | str]  # content, or the SHA-256 of a large file


@dataclass
class Repository:
    """commits: id -> (parent, files). branches: name -> commit."""

    is_private: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def add_commit(self, files: Files, branch: str = "main") -> str:
        seed = f"{len(self.commits)} {sorted(files)}".encode()
        name = hashlib.sha1(seed).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        return name

    @property
    def head(self) -> Files:
        return self.commits[self.branches["main"]]


@dataclass
class FakeHub:
    """repositories: (kind, name) -> repository. objects: SHA-256 -> content of large files.

    faults: functions (method, path) -> status code, "cut" or None; the first that returns something decides, and is
    used up unless it is in lasting. requests: method and path of all.
    """

    address: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    faults: list[Callable[[str, str], Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    readers: tuple[str, ...] = (TOKEN,)
    writers: tuple[str, ...] = (TOKEN,)
    before_download: Callable[[str], None] = lambda name: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def content(self, repo: str, kind: str = "dataset", branch: str = "main") -> dict[str, bytes]:
        """name -> bytes of all files of a branch."""
        repository = self.repositories[kind, repo]
        files = repository.commits[repository.branches[branch]]
        return {name: self.objects[data] if isinstance(data, str) else data for name, data in files.items()}

    def uploads(self) -> list[str]:
        return [request for request in self.requests if request.startswith("PUT")]

    def fail(self, method: str, part: str, answer: Any, times: int = 1) -> None:
        """Let the next requests of a method whose path has a part fail with a status code, or be cut off."""

        def fault(asked: str, path: str) -> Any:
            return answer if asked == method and part in path else None

        self.faults += [fault] * times

    def next_fault(self, method: str, path: str) -> Any:
        with self.lock:
            self.requests.append(f"{method} {path}")
            for number, fault in enumerate(self.faults):
                answer = fault(method, path)
                if answer is not None:
                    del self.faults[number]
                    return answer
        return None


class _Handler(AnyMethodHandler):
    hub: FakeHub

    def respond(self) -> None:
        path = urllib.parse.unquote(self.path.partition("?")[0])
        body = self._body()
        fault = self.hub.next_fault(self.command, path)
        if isinstance(fault, int):
            return self._json(fault, {"error": "it was told to fail"})
        if fault == "cut" and self.command == "PUT":
            self.close_connection = True
            return None
        self._is_cut = fault == "cut"
        return self._answered(path, body)

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answered(self, path: str, body: bytes) -> None:
        if path == "/api/whoami-v2":
            is_known = self._token in self.hub.readers
            return (
                self._json(200, {"name": USER, "type": "user"}) if is_known else self._json(401, {"error": "Invalid"})
            )
        if path == "/api/validate-yaml":
            return self._json(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.startswith("/objects/"):
            name = path.rpartition("/")[2]
            if hashlib.sha256(body).hexdigest() != name:  # cut off, as a killed client leaves it
                return self._json(400, {"error": "the content has another SHA-256"})
            self.hub.objects[name] = body
            return self._json(200, {})
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        if match := _RESOLVE.fullmatch(path):
            kind = "dataset" if match[1] else "model"
            return self._resolve(kind, match[2], match[3], match[4])
        match = _API.fullmatch(path)
        if match is None:
            return self._json(404, {"error": "no such page"})
        return self._of_repository(match[1], match[2], match[3], match[4], body)

    def _of_repository(self, kind: str, name: str, action: str | None, place: str | None, body: bytes) -> None:
        repository = self.hub.repositories.get((kind, name))
        if repository is None or (repository.is_private and self._token not in self.hub.readers):
            return self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        commit = repository.branches.get(place or "main", place or "")
        if action == "branch":
            repository.branches.setdefault(str(place), repository.branches["main"])
            return self._json(200, {})
        if commit not in repository.commits:
            return self._json(404, {"error": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
        if action in (None, "revision"):
            private = {"private": repository.is_private}
            return self._json(200, {"id": name, "sha": commit, "siblings": [], "tags": [], **private})
        if action == "tree":
            return self._json(200, [self._entry(file, data) for file, data in repository.commits[commit].items()])
        if self._token not in self.hub.writers:
            return self._json(403, {"error": "you may not write here"})
        if action == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": _mode(f["path"]), "shouldIgnore": False} for f in files]
            return self._json(200, {"files": modes})
        assert action == "commit", action
        page = f"{'datasets/' if kind == 'dataset' else ''}{name}"
        return self._commit(repository, page, place or "main", commit, body)

    def _create(self, asked: dict) -> None:
        if self._token not in self.hub.writers:
            return self._json(401 if self._token is None else 403, {"error": "no permission to create it"})
        name = f"{asked['organization'] or USER}/{asked['name']}"
        kind = asked.get("type") or "model"
        if (kind, name) in self.hub.repositories:
            return self._json(409, {"error": "You already created it", "url": f"{self.hub.address}/{name}"})
        repository = Repository(asked.get("visibility") == "private" or asked.get("private") is True)
        repository.add_commit({".gitattributes": b"*.h5 filter=lfs\n"})
        self.hub.repositories[kind, name] = repository
        return self._json(200, {"url": f"{self.hub.address}/{'datasets/' if kind == 'dataset' else ''}{name}"})

    def _batch(self, asked: dict) -> None:
        objects = []
        for wanted in asked["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.objects:
                answer["actions"] = {"upload": {"href": f"{self.hub.address}/objects/{wanted['oid']}", "header": {}}}
            objects.append(answer)
        return self._json(200, {"objects": objects, "transfer": "basic"})

    def _commit(self, repository: Repository, page: str, branch: str, head: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        parent = lines[0]["value"].get("parentCommit")
        if parent is not None and parent != head:
            return self._json(412, {"error": "A commit has happened since"})
        files = dict(repository.commits[head])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                assert value["oid"] in self.hub.objects
                files[value["path"]] = value["oid"]
            else:
                del files[value["path"]]
        made = repository.add_commit(files, branch)
        return self._json(200, {"commitUrl": f"{self.hub.address}/{page}/commit/{made}", "commitOid": made})

    def _resolve(self, kind: str, name: str, place: str, file: str) -> None:
        repository = self.hub.repositories.get((kind, name))
        if repository is None:
            return self._json(404, {}, {"X-Error-Code": "RepoNotFound"})
        commit = repository.branches.get(place, place)
        content = repository.commits[commit].get(file)
        if content is None:
            return self._json(404, {}, {"X-Error-Code": "EntryNotFound"})
        if self.command == "GET":
            self.hub.before_download(file)
        data = self.hub.objects[content] if isinstance(content, str) else content
        tag = content if isinstance(content, str) else _blob_id(data)
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(206 if start else 200, headers, data[start:])
        return None

    def _entry(self, name: str, content: bytes | str) -> dict:
        if isinstance(content, str):
            size = len(self.hub.objects[content])
            lfs = {"oid": content, "size": size, "pointerSize": 130}
            return {
                "type": "file",
                "path": name,
                "size": size,
                "oid": hashlib.sha1(content.encode()).hexdigest(),
                "lfs": lfs,
            }
        return {"type": "file", "path": name, "size": len(content), "oid": _blob_id(content)}

    @property
    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        length = {"Content-Length": str(len(body))}
        if getattr(self, "_is_cut", False):
            self.close_connection = True
            body = body[: len(body) // 2]
        self.answer(status, {**headers, **length}, b"" if self.command == "HEAD" else body)


def _mode(name: str) -> str:
    return "lfs" if name.endswith(LARGE) else "regular"


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextlib.contextmanager
def serving() -> Iterator[FakeHub]:
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with slow_s3.serving(handler) as address:
        hub.address = address
        yield hub


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[FakeHub]:
    """A hub that this process uses, with a token that may do everything; nothing waits between two attempts."""
    import huggingface_hub.utils._http as transport
    from huggingface_hub import constants, file_download

    without_waiting = types.SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    with serving() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "ENDPOINT", made.address)
        template = made.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        for module in (transport, file_download):
            monkeypatch.setattr(module, "time", without_waiting)
        yield made
        transport.close_session()
