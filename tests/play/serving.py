"""A server of the page in this process, and a client that asks it as the page does."""

import contextlib
import http.client
import json
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nettrain.play.server import HOST, Answers, PlayServer
from nettrain.play.tables import Tables


@contextlib.contextmanager
def serving(*readable: Path) -> Iterator["Client"]:
    """Within it a server answers; the client knows its port."""
    with PlayServer(0, Answers(Tables(Path("outputs") / "play"), readable)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Client(server.server_port)
        server.shutdown()
        thread.join()


class Client:
    """What a page asks; `status` is that of the last answer."""

    def __init__(self, port: int) -> None:
        self.port, self.status = port, 0

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}/"

    def request(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        self.status = answer.status
        return answer, answer.read()

    def ask(self, question: str, **content: Any) -> dict[str, Any]:
        body = json.dumps(content).encode()
        _, answer = self.request("POST", f"/api/{question}", body, Content_Type="application/json")
        found: dict[str, Any] = json.loads(answer)
        return found

    def start(self, *lanes: str, seeds: int = 1) -> dict[str, Any]:
        """Begin with lanes, each of overrides as they are typed."""
        return self.ask("start", lanes=[shlex.split(lane) for lane in lanes], seeds=seeds)


def overrides_of(command: str) -> list[str]:
    """What stands behind the program's name in a command line of the page."""
    words = shlex.split(command)
    return words[1:] if words[0] == "nettrain" else words[2:]
