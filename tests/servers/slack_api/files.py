"""Files: those that people share and the bot downloads, and those that the bot uploads in three steps."""

import itertools
import mimetypes
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.servers.slack_api.methods import Methods
from tests.servers.slack_api.people import Person
from tests.servers.slack_api.wire import Refused

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer

METHODS = Methods()
LOGIN = "<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in to your workspace</body></html>"


@dataclass(slots=True)
class File:
    """A file; `length` is what was announced of an upload, `done` whether it is shared."""

    id: str
    name: str
    data: bytes
    mime: str
    by: Person
    length: int
    done: bool = True
    title: str = ""
    check_info: bool = False
    more: dict[str, Any] = field(default_factory=dict)


class Files:
    """All files of the workspace by id."""

    def __init__(self, server: "SlackServer") -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self.by_id: dict[str, File] = {}

    def keep(self, by: Person, name: str, data: bytes, mime: str | None = None, **more: Any) -> File:
        """A file that a person shares; `check_info=True`: the event says only that files.info must be asked."""
        mime = mime or mimetypes.guess_type(name)[0] or "application/octet-stream"
        file = File(f"F{next(self._numbers):04}", name, data, mime, by, len(data), title=name)
        file.check_info = more.pop("check_info", False)
        file.more = more
        self.by_id[file.id] = file
        return file

    def expect(self, name: str, length: int) -> File:
        """A file that the bot announced."""
        mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        file = File(f"F{next(self._numbers):04}", name, b"", mime, self._server.bot, length, done=False)
        self.by_id[file.id] = file
        return file

    def json(self, file: File) -> dict:
        server = self._server
        place = f"{server.origin}/files-pri/{server.team}-{file.id}"
        kind = "text" if file.mime.startswith("text/") else file.name.rpartition(".")[2]
        return {
            "id": file.id,
            "created": server.seconds(),
            "timestamp": server.seconds(),
            "name": file.name,
            "title": file.title or file.name,
            "mimetype": file.mime,
            "filetype": kind,
            "pretty_type": kind.upper(),
            "user": file.by.id,
            "user_team": file.by.team,
            "editable": False,
            "size": len(file.data),
            "mode": "hosted",
            "is_external": False,
            "external_type": "",
            "is_public": False,
            "public_url_shared": False,
            "url_private": f"{place}/{file.name}",
            "url_private_download": f"{place}/download/{file.name}",
            "permalink": f"https://{server.domain}.slack.com/files/{file.by.id}/{file.id}/{file.name}",
            "has_rich_preview": False,
            "file_access": "visible",
        } | file.more

    def in_event(self, file: File) -> dict:
        """The file as an event has it."""
        if not file.check_info:
            return self.json(file)
        return {
            "id": file.id,
            "created": 0,
            "timestamp": 0,
            "user": "",
            "mode": "file_access",
            "file_access": "check_file_info",
        }

    async def download(self, request: web.BaseRequest) -> web.Response:
        """The bytes; without the right token the page that asks to sign in, as the platform does."""
        server, path = self._server, request.path
        file = self.by_id.get(path.removeprefix("/files-pri/").partition("/")[0].rpartition("-")[2])
        if request.headers.get("Authorization") != f"Bearer {server.bot_token}":
            server.problems.append(f"a download without the bot's token: {path}")
            return web.Response(text=LOGIN, content_type="text/html")
        if "files:read" not in server.scopes:
            return web.Response(text=LOGIN, content_type="text/html")
        if file is None:
            return web.Response(status=404, text="File not found")
        return web.Response(body=file.data, content_type=file.mime)

    async def receive(self, request: web.BaseRequest) -> web.Response:
        """The second step of an upload: the bytes."""
        file = self.by_id.get(request.path.rpartition("/")[2])
        if request.method != "POST" or file is None or file.done:
            return web.Response(status=404, text="Not found")
        if request.content_type == "multipart/form-data":
            [value, *_] = [v for v in (await request.post()).values() if isinstance(v, web.FileField)]
            file.data = value.file.read()
        else:
            file.data = await request.read()
        if len(file.data) != file.length:
            self._server.problems.append(f"{file.name} was announced with {file.length} bytes and has {len(file.data)}")
            return web.Response(status=400, text="Bad size")
        return web.Response(text=f"OK - {len(file.data)}")


@METHODS.method(
    "files.getUploadURLExternal",
    "T4",
    "files:write",
    only_form=True,
    filename="str!",
    length="int!",
    alt_txt="str",
    snippet_type="str",
)
def _get_upload_url(server: "SlackServer", params: dict) -> dict:
    if params["length"] <= 0:
        raise Refused("invalid_arguments")
    if params["length"] > server.largest_file:
        raise Refused("file_upload_size_restricted")
    file = server.files.expect(params["filename"], params["length"])
    return {"upload_url": f"{server.origin}/upload/v1/{file.id}", "file_id": file.id}


@METHODS.method(
    "files.completeUploadExternal",
    "T4",
    "files:write",
    files="list!",
    channel_id="str",
    channels="str",
    thread_ts="str",
    initial_comment="str",
    blocks="list",
    icon_emoji="str",
    icon_url="str",
    username="str",
)
def _complete_upload(server: "SlackServer", params: dict) -> dict:
    files = []
    for given in params["files"]:
        file = server.files.by_id.get(given.get("id", ""))
        if file is None or file.done or not file.data:
            raise Refused("file_not_found")
        file.title = given.get("title") or file.name
        files.append(file)
    channels = ",".join(params[key] for key in ("channel_id", "channels") if key in params).split(",")
    chats = [server.chat_of(channel) for channel in channels if channel]
    if len(chats) > 1 and "thread_ts" in params:
        raise Refused("invalid_arguments")
    for chat in chats:
        chat.thread_of(params.get("thread_ts"), error="invalid_thread_ts")
    for file in files:
        file.done = True
    for chat in chats:
        extra = {"blocks": params["blocks"]} if "blocks" in params else {}
        shared = {"files": [server.files.json(f) for f in files], "subtype": "file_share", "upload": False}
        chat.post_as(server.bot, params.get("initial_comment", ""), params.get("thread_ts"), **shared, **extra)
    return {"files": [{"id": f.id, "title": f.title} if not chats else server.files.json(f) for f in files]}


@METHODS.method(
    "files.info", "T4", "files:read", only_form=True, file="str!", count="int", cursor="str", limit="int", page="int"
)
def _info(server: "SlackServer", params: dict) -> dict:
    file = server.files.by_id.get(params["file"])
    if file is None:
        raise Refused("file_not_found")
    return {"file": server.files.json(file), "comments": [], "response_metadata": {"next_cursor": ""}}
