"""Hugging Face and ModelScope on loopback: as much of either protocol as their own clients ask for, and knobs to break it.

Run one with `with HuggingFaceServer() as hub:`; `hub.url` is the endpoint. State lives in memory and dies with the server.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "right-token"


@dataclass
class Repository:
    """Commits are snapshots: path → content. The newest is the head of the only branch."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        listing = json.dumps([self.head, sorted((path, hashlib.sha256(content).hexdigest()) for path, content in files.items())])
        self.head = hashlib.sha1(listing.encode()).hexdigest()
        self.commits[self.head] = dict(files)
        return self.head

    def resolve(self, revision: str) -> str | None:
        commit = self.head if revision in {"main", "master"} else self.tags.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass
class Fault:
    """What goes wrong with requests to this address: a status, or the connection cut before, after or amid the answer. times: so often."""

    what: int | str
    method: str
    address: str
    times: int = 1

    def meets(self, method: str, path: str) -> bool:
        return self.times > 0 and method == self.method and re.search(self.address, path) is not None


class Faulty:
    """The hub behind its faults."""

    def __init__(self, app, server: "Server") -> None:
        self.app, self.server = app, server

    async def __call__(self, scope, receive, send) -> None:
        path = scope.get("path", "")
        fault = next((fault for fault in self.server.faults if fault.meets(scope.get("method", ""), path)), None)
        if fault is None:
            await self.app(scope, receive, send)
            return
        fault.times -= 1
        self.server.met.append(f"{fault.what} {fault.method} {path}")
        cycle = send.__self__  # uvicorn's, which holds the connection
        if isinstance(fault.what, int):
            answer = JSONResponse({"error": "out of order"}, fault.what, headers={"Retry-After": "0"} if fault.what == 429 else {})
            await answer(scope, receive, send)
        elif fault.what == "cut before":
            cycle.transport.abort()
        elif fault.what == "cut after":
            await self.app(scope, receive, nowhere)
            cycle.transport.abort()
        else:

            async def half(message) -> None:
                body = message.get("body", b"")
                await send({**message, "body": body[: len(body) // 2], "more_body": True} if body else message)
                if body:
                    cycle.transport.close()

            await self.app(scope, receive, half)


async def nowhere(message) -> None:
    pass


class Server:
    """What both hubs share. refuse_after: blobs accepted before uploads fail; altered: paths that come back changed.

    faults: what goes wrong, and met: what did. lost: paths that come back as if they were not there. before_tag: called when a tag is set;
    mute_tags: tags are answered for, but not set.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.sent: Counter[str] = Counter()
        self.refuse_after: int | None = None
        self.altered: set[str] = set()
        self.asked: list[str] = []
        self.faults: list[Fault] = []
        self.met: list[str] = []
        self.mute_tags = False
        self.tag_head = False
        self.before_tag = None

    def __enter__(self):
        app = Starlette(routes=[Route(path, self.noted(call), methods=methods) for path, call, methods in self.routes()])
        config = uvicorn.Config(
            Faulty(app, self), host="127.0.0.1", port=0, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join()

    def noted(self, call):
        async def endpoint(request: Request) -> Response:
            self.asked.append(f"{request.method} {request.url.path}")
            public = request.method in {"GET", "HEAD"} and "whoami" not in request.url.path and "/users/me" not in request.url.path
            public = public or request.url.path.endswith("/info/refs")
            if not public and request.headers.get("authorization") != f"Bearer {TOKEN}":
                return self.unauthorised()
            return await call(request)

        return endpoint

    def set_tag(self, repository: Repository, tag: str, revision: str) -> None:
        if self.before_tag:
            self.before_tag(repository)
        if not self.mute_tags:
            repository.tags[tag] = repository.head if self.tag_head else repository.resolve(revision)

    def content(self, repository: Repository, commit: str, path: str) -> bytes:
        content = repository.commits[commit][path]
        return bytes([content[0] ^ 1]) + content[1:] if path in self.altered else content

    async def put_blob(self, request: Request) -> Response:
        """PUT of one large file. The hub keeps it only when its hash is the one announced."""
        oid, content = request.path_params["oid"], await request.body()
        if self.refuse_after is not None and len(self.sent) >= self.refuse_after:
            return self.failure(400, "the store is out of order")
        if hashlib.sha256(content).hexdigest() != oid:
            return self.failure(400, "hash and content differ")
        self.blobs[oid] = content
        self.sent[oid] += 1
        return JSONResponse({})

    def upload_link(self, request: Request, oid: str) -> dict:
        return {} if oid in self.blobs else {"actions": {"upload": {"href": f"{request.base_url}blob/{oid}"}}}


class HuggingFaceServer(Server):
    def routes(self):
        model, repo = "/api/models/{owner}/{name}", "/{owner}/{name}"
        return [
            ("/api/whoami-v2", self.whoami, ["GET"]),
            ("/api/repos/create", self.create, ["POST"]),
            ("/api/validate-yaml", self.validate_card, ["POST"]),
            (model, self.info, ["GET"]),
            (model + "/revision/{revision}", self.info, ["GET"]),
            (model + "/tree/{revision}", self.tree, ["GET"]),
            (model + "/preupload/{revision}", self.preupload, ["POST"]),
            (model + "/commit/{revision}", self.commit, ["POST"]),
            (model + "/tag/{revision}", self.tag, ["POST"]),
            (repo + ".git/info/lfs/objects/batch", self.batch, ["POST"]),
            ("/blob/{oid}", self.put_blob, ["PUT"]),
            (repo + "/resolve/{revision}/{path:path}", self.file, ["GET", "HEAD"]),
        ]

    def noted(self, call):
        checked = super().noted(call)

        async def endpoint(request: Request) -> Response:
            # A blob's address is signed at the real hub: the client sends no token with it.
            return await (call(request) if request.method == "PUT" else checked(request))

        return endpoint

    def failure(self, status: int, message: str, code: str = "") -> Response:
        return JSONResponse({"error": message}, status, headers={"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}))

    def unauthorised(self) -> Response:
        return self.failure(401, "Invalid credentials in Authorization header")

    def find(self, request: Request) -> tuple[Repository, str] | Response:
        repository = self.repositories.get("{owner}/{name}".format(**request.path_params))
        if repository is None:
            return self.failure(404, "Repository not found", "RepoNotFound")
        commit = repository.resolve(request.path_params.get("revision", "main"))
        return (repository, commit) if commit else self.failure(404, "Revision not found", "RevisionNotFound")

    async def whoami(self, request: Request) -> Response:
        return JSONResponse({"type": "user", "name": "lab", "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    async def create(self, request: Request) -> Response:
        asked = await request.json()
        name = f"{asked.get('organization') or 'lab'}/{asked['name']}"
        if name in self.repositories:
            return JSONResponse({"error": "exists", "url": str(request.base_url) + name}, 409)
        self.repositories[name] = Repository()
        self.repositories[name].commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        return JSONResponse({"url": str(request.base_url) + name})

    async def validate_card(self, request: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    async def info(self, request: Request) -> Response:
        found = self.find(request)
        if isinstance(found, Response):
            return found
        repository, commit = found
        siblings = [{"rfilename": path} for path in sorted(repository.commits[commit])]
        name = "{owner}/{name}".format(**request.path_params)
        return JSONResponse({"id": name, "modelId": name, "sha": commit, "private": True, "tags": [], "siblings": siblings})

    async def tree(self, request: Request) -> Response:
        found = self.find(request)
        if isinstance(found, Response):
            return found
        repository, commit = found
        return JSONResponse([entry(path, content) for path, content in sorted(repository.commits[commit].items())])

    async def preupload(self, request: Request) -> Response:
        found = self.find(request)
        if isinstance(found, Response):
            return found
        repository, commit = found
        files = []
        for file in (await request.json())["files"]:
            old = repository.commits[commit].get(file["path"])
            oid = (hashlib.sha256(old).hexdigest() if is_large(file["path"]) else git_hash(old)) if old is not None else None
            mode = "lfs" if is_large(file["path"]) else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return JSONResponse({"files": files})

    async def batch(self, request: Request) -> Response:
        objects = [{**wanted, **self.upload_link(request, wanted["oid"])} for wanted in (await request.json())["objects"]]
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")

    async def commit(self, request: Request) -> Response:
        repository, head = self.find(request)
        files = dict(repository.commits[head])
        for line in (await request.body()).splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        commit = repository.commit(files)
        return JSONResponse(
            {
                "success": True,
                "commitOid": commit,
                "commitUrl": "{}{owner}/{name}/commit/{}".format(request.base_url, commit, **request.path_params),
            }
        )

    async def tag(self, request: Request) -> Response:
        found, tag = self.find(request), (await request.json())["tag"]
        if isinstance(found, Response):
            return found
        if tag in found[0].tags:
            return self.failure(409, "Tag exists")
        self.set_tag(found[0], tag, found[1])
        return JSONResponse({})

    async def file(self, request: Request) -> Response:
        found, path = self.find(request), request.path_params["path"]
        if isinstance(found, Response):
            return found
        repository, commit = found
        if path not in repository.commits[commit]:
            return self.failure(404, "Entry not found", "EntryNotFound")
        content = self.content(repository, commit, path)
        mark = f'"{hashlib.sha256(repository.commits[commit][path]).hexdigest()}"'
        return Response(content, headers={"X-Repo-Commit": commit, "ETag": mark, "X-Linked-Size": str(len(content))})


class ModelScopeServer(Server):
    def routes(self):
        api = "/api/v1"
        model = api + "/models/{owner}/{name}"
        return [
            ("/openapi/v1/users/me", self.me, ["GET"]),
            ("/openapi/v1/models/{owner}/{name}", self.info, ["GET"]),
            (api + "/models", self.create, ["POST"]),
            (model, self.legacy_info, ["GET"]),
            (model + "/revisions", self.revisions, ["GET"]),
            (model + "/repo/files", self.files, ["GET"]),
            (model + "/repo/tag", self.tag, ["POST"]),
            (model + "/repo", self.file, ["GET"]),
            (api + "/repos/models/{owner}/{name}/info/lfs/objects/batch", self.batch, ["POST"]),
            (api + "/repos/models/{owner}/{name}/commit/{revision}", self.commit, ["POST"]),
            ("/blob/{oid}", self.put_blob, ["PUT"]),
            ("/{owner}/{name}.git/info/refs", self.refs, ["GET"]),
        ]

    def good(self, data: object = None) -> Response:
        return JSONResponse({"Code": 200, "Success": True, "Message": "", "RequestId": "r", "Data": data or {}})

    def failure(self, status: int, message: str) -> Response:
        return JSONResponse({"Code": status, "Success": False, "Message": message}, status)

    def unauthorised(self) -> Response:
        return self.failure(401, "token is invalid")

    def find(self, request: Request) -> Repository | None:
        return self.repositories.get("{owner}/{name}".format(**request.path_params))

    async def me(self, request: Request) -> Response:
        return JSONResponse({"success": True, "data": {"username": "lab", "email": "lab@example.org", "id": 1}})

    async def create(self, request: Request) -> Response:
        asked = await request.json()
        name = f"{asked['Path']}/{asked['Name']}"
        if name in self.repositories:
            return self.failure(409, "already exists")
        self.repositories[name] = Repository()
        self.repositories[name].commit({})
        return self.good({"Id": 1, "Name": asked["Name"]})

    async def info(self, request: Request) -> Response:
        if self.find(request) is None:
            return JSONResponse({"success": False, "message": "not found"}, 404)
        return JSONResponse({"success": True, "data": {"id": "{owner}/{name}".format(**request.path_params)}})

    async def legacy_info(self, request: Request) -> Response:
        if self.find(request) is None:
            return self.failure(404, "not found")
        return self.good({"Id": 1, "Name": request.path_params["name"], "Path": request.path_params["owner"], "Revision": "master"})

    async def revisions(self, request: Request) -> Response:
        tags = [{"Revision": tag, "CreatedAt": 1} for tag in self.find(request).tags]
        return self.good({"RevisionMap": {"Branches": [{"Revision": "master", "CreatedAt": 1}], "Tags": tags}})

    async def refs(self, request: Request) -> Response:
        """What git's own protocol begins with."""
        repository = self.find(request)
        if repository is None:
            return Response("not found", 404)
        named = {"refs/heads/master": repository.head} | {f"refs/tags/{tag}": commit for tag, commit in repository.tags.items()}
        lines = ["# service=git-upload-pack\n", *(f"{commit} {name}\n" for name, commit in named.items())]
        return Response("".join(f"{len(line) + 4:04x}{line}" for line in lines) + "0000", media_type="application/x-git-upload-pack")

    async def files(self, request: Request) -> Response:
        repository = self.find(request)
        commit = repository and repository.resolve(request.query_params.get("Revision", "master"))
        if not commit:
            return self.failure(404, "not found")
        listing = [
            {"Name": path.split("/")[-1], "Path": path, "Type": "blob", "Size": len(content), "Sha256": hashlib.sha256(content).hexdigest()}
            for path, content in sorted(repository.commits[commit].items())
        ]
        return self.good({"Files": listing, "TotalCount": len(listing)})

    async def batch(self, request: Request) -> Response:
        return self.good(
            {"objects": [{**wanted, **self.upload_link(request, wanted["oid"])} for wanted in (await request.json())["objects"]]}
        )

    async def commit(self, request: Request) -> Response:
        repository = self.find(request)
        files = dict(repository.commits[repository.head])
        for action in (await request.json())["actions"]:
            if action["action"] == "delete":
                del files[action["path"]]
            elif action["type"] == "lfs":
                files[action["path"]] = self.blobs[action["sha256"]]
            else:
                files[action["path"]] = base64.b64decode(action["content"])
        return self.good({"oid": repository.commit(files)})

    async def tag(self, request: Request) -> Response:
        repository, asked = self.find(request), await request.json()
        self.set_tag(repository, asked["TagName"], asked["Ref"])
        return self.good()

    async def file(self, request: Request) -> Response:
        repository, path = self.find(request), request.query_params["FilePath"]
        commit = repository.resolve(request.query_params.get("Revision", "master"))
        if not commit or path not in repository.commits[commit]:
            return self.failure(404, "not found")
        return Response(self.content(repository, commit, path), headers={"X-Repo-Commit": commit})


def is_large(path: str) -> bool:
    return path.endswith(".safetensors")


def entry(path: str, content: bytes) -> dict:
    large = {"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}} if is_large(path) else {}
    return {"type": "file", "path": path, "size": len(content), "oid": git_hash(content), **large}


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
