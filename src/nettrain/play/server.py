"""The server of the page: on the loopback interface alone, for pages that it has served itself."""

import contextlib
import json
import secrets
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nettrain.errors import ConfigError, Mistake, unexpected
from nettrain.play.choices import choices
from nettrain.play.frames import Frames
from nettrain.play.session import Session, Setting, computing
from nettrain.play.settings import check
from nettrain.play.tables import Tables
from nettrain.training.device import threads_for

HOST = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MOST_SESSIONS = 8  # the oldest one is forgotten: its page was closed, or begins again
LONGEST = 2**25  # bytes of a request
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"

Json = dict[str, Any]


class Gone(Exception):
    """A page asks for a session that there is not any more."""


class Answers:
    """What the page asks, each question a function from plain containers to plain containers.

    Raises a `Mistake` for what a person can mend, and `Gone`.
    """

    def __init__(self, tables: Tables, readable: Sequence[Path] = ()) -> None:
        self.tables, self.readable = tables, [tables.folder, *readable]
        self.sessions: OrderedDict[str, Frames] = OrderedDict()
        self._choices: Json | None = None
        self.questions: dict[str, Callable[[Json], Json]] = {
            "choices": self.choices,
            "table": self.table,
            "start": self.start,
            "advance": self.advance,
        }

    def choices(self, asked: Json) -> Json:
        """What there is to choose from."""
        if self._choices is None:
            self._choices = choices()
        return self._choices

    def table(self, asked: Json) -> Json:
        """The columns of a file: one that is named, or that is made of what the page brings or a data set has."""
        if "points" in asked:
            return self.tables.drawing(_wanted(asked, "points", list), _wanted(asked, "classes", bool))
        if "content" in asked:
            return self.tables.upload(_wanted(asked, "name", str), _wanted(asked, "content", str))
        if "path" in asked:
            path = _wanted(asked, "path", str)
            check([f"data.path={path}"], self.readable)
            return self.tables.described(Path(path))
        return self.tables.shipped(_wanted(asked, "shipped", str))

    def start(self, asked: Json) -> Json:
        """Prepare the lanes of a setting; the session's name, what does not change, and the first frame."""
        lanes = [
            [str(override) for override in lane] for lane in _wanted(asked, "lanes", list) if isinstance(lane, list)
        ]
        setting = Setting(lanes, _wanted(asked, "seeds", int, 1))
        setting.check(self.readable)
        with computing:
            session = Session(setting)
            with threads_for(0):
                frames = Frames(session)
                shown = {"problem": frames.problem(), "frame": frames.frame(_wanted(asked, "focus", int, 0))}
            self.sessions.pop(_wanted(asked, "instead", str, ""), None)
            name = secrets.token_urlsafe(12)
            self.sessions[name] = frames
            while len(self.sessions) > MOST_SESSIONS:
                self.sessions.popitem(last=False)
            return {"session": name, **shown}

    def advance(self, asked: Json) -> Json:
        """Train on: `updates` or `epochs`, at most for so many `seconds`; the frame after it."""
        name, known = _wanted(asked, "session", str), _wanted(asked, "known", list, [])
        epochs, seconds = _wanted(asked, "epochs", int, 0), _wanted(asked, "seconds", float, 10.0)
        with computing:
            frames = self.sessions.get(name)
            if frames is None:
                raise Gone
            self.sessions.move_to_end(name)
            for _ in range(_wanted(asked, "updates", int, 0)):
                frames.session.advance_update()
            if epochs:
                frames.session.advance_epochs(epochs, seconds)
            with threads_for(0):
                return frames.frame(_wanted(asked, "focus", int, 0), [int(count) for count in known])


def _wanted(asked: Json, name: str, kind: type, default: Any = None) -> Any:
    """A value of a request, of this type; `ConfigError` for another one, and for one that is missing."""
    value = asked.get(name, default)
    value = float(value) if kind is float and isinstance(value, int) else value
    if not isinstance(value, kind):
        raise ConfigError(f"request: {name} must be of type {kind.__name__}, and is {value!r}.")
    return value


class PlayServer(ThreadingHTTPServer):
    """Serves the page and answers it, to this machine alone. Raises `ConfigError` for a port that is in use."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, answers: Answers) -> None:
        self.answers = answers
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise ConfigError(f"--port {port}: {error.strerror or error}; choose another one.") from None

    @property
    def hosts(self) -> set[str]:
        """What a browser calls this server when it shows the page; nobody else's page can have such a name."""
        return {f"{name}:{self.server_port}" for name in (HOST, "localhost")}


class Handler(BaseHTTPRequestHandler):
    """One connection of a browser."""

    server: PlayServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body of an answer go out together

    def do_GET(self) -> None:
        """A file of the page."""
        if not self._is_from_page():
            return
        name = self.path.partition("?")[0].removeprefix("/") or "index.html"
        files = {file.relative_to(PAGE).as_posix(): file for file in PAGE.rglob("*") if file.suffix in TYPES}
        if name not in files:
            self._send(HTTPStatus.NOT_FOUND, b"nettrain-play has no such page.\n", "text/plain")
            return
        self._send(HTTPStatus.OK, files[name].read_bytes(), TYPES[files[name].suffix])

    def do_POST(self) -> None:
        """A question of the page, and its answer, as JSON; `error` is a sentence where there is none."""
        if not self._is_from_page():
            return
        question = self.server.answers.questions.get(self.path.removeprefix("/api/"))
        length = int(self.headers.get("Content-Length") or 0)
        is_json = self.headers.get_content_type() == "application/json"  # which no other page can send unasked
        if question is None or not is_json or not 0 <= length <= LONGEST:
            self.close_connection = True
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "nettrain-play does not understand the request."})
            return
        try:
            asked = json.loads(self.rfile.read(length))
            self._answer(HTTPStatus.OK, question(asked if isinstance(asked, dict) else {}))
        except json.JSONDecodeError as error:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": f"request: it is no JSON ({error})."})
        except Gone:
            self._answer(HTTPStatus.GONE, {"error": "This training has been forgotten; it begins again."})
        except Mistake as mistake:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": str(mistake)})
        except ConnectionError:
            raise
        except Exception as error:
            traceback.print_exc()
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": unexpected(error)})

    def _is_from_page(self) -> bool:
        """Whether the request comes from the page itself; else it is refused."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host in self.server.hosts and origin in (None, f"http://{host}"):
            return True
        self.close_connection = True
        self._send(HTTPStatus.FORBIDDEN, b"nettrain-play answers its own page alone.\n", "text/plain")
        return False

    def _answer(self, status: HTTPStatus, content: Json) -> None:
        self._send(status, json.dumps(content, allow_nan=False, separators=(",", ":")).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing of what goes well is printed."""

    def log_error(self, format: str, *args: Any) -> None:
        """A connection that broke off is the browser's affair."""

    def handle(self) -> None:
        """Serve the connection until the browser closes it."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()
