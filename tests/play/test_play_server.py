"""The server of the page: whom it answers, what it serves, what a page may ask for; and the command that starts it."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from serving import serving

from nettrain.errors import ConfigError
from nettrain.play.program import main, start_of
from nettrain.play.server import PAGE, Answers, PlayServer
from nettrain.play.session import Setting
from nettrain.play.tables import Tables


@pytest.fixture(scope="module")
def page():
    with serving() as client:
        yield client


@pytest.mark.parametrize(
    "forbidden",
    [
        "model._target_=torch.nn.Linear",
        "head._target_=os.system",
        "optimizer={_target_:torch.optim.SGD}",
        "optimizer=torch",
        "model=module",
        "parts=[os]",
        "metrics=[os.getcwd]",
        "callbacks=[mine]",
        "logger=[mlflow]",
        "resume=outputs",
        "trust=true",
        "hydra.run.dir=/tmp/x",
        "+new=1",
        "~seed",
        "--config-dir=/tmp",
        "data=sql",
        "data.path=/etc/passwd",
        "data.path=outputs/play/../../secret.csv",
        "data.path=http://example.org/t.csv",
        "data.target=${oc.env:HOME}",
        "experiment=course/momentum",
        "members=8",
    ],
)
def test_a_page_cannot_name_code_or_files(page, forbidden):
    """Any page of the web can link to an address with settings in it: they are checked before they are composed."""
    with pytest.raises(ConfigError, match=r"nettrain-play|<key>=<value>"):
        Setting([["data=moons", forbidden]]).check([Path("outputs") / "play"])
    answer = page.start(f"data=moons '{forbidden}'")
    assert page.status == 400
    assert set(answer) == {"error"}
    assert forbidden.partition("=")[0] in answer["error"]


def test_files_that_were_named_when_it_was_started_are_read(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(30)))
    other = tmp_path / "other.csv"
    other.write_text(table.read_text())
    with serving(table) as page:
        settings = "data=csv data.target=y recipe=plain epochs=1 data.path="
        assert "session" in page.start(f"{settings}{table}")
        assert "reads no files" in page.start(f"{settings}{other}")["error"]
        assert page.ask("table", path=str(table))["columns"] == [
            {"name": "x", "number": True},
            {"name": "y", "number": True},
        ]
        assert "reads no files" in page.ask("table", path=str(other))["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_only_the_page_itself_is_answered(page, headers):
    for method, path in (("GET", "/"), ("POST", "/api/choices")):
        answer, content = page.request(method, path, b"{}", Content_Type="application/json", **headers)
        assert answer.status == 403
        assert b"moons" not in content


def test_a_form_of_another_page_is_not_understood(page):
    """A browser sends a form, or plain text, without asking the server first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer, _ = page.request("POST", "/api/choices", b"{}", Content_Type=kind)
        assert answer.status == 400


def test_it_listens_on_loopback_alone():
    with PlayServer(0, Answers(Tables(Path("outputs")))) as server:
        assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/nothing.js", "/../server.py", "/js/../../server.py", "/%2e%2e/server.py"])
def test_nothing_but_the_page_is_served(page, path):
    assert page.request("GET", path)[0].status == 404


def test_all_that_the_page_names_is_served_and_nothing_lies_elsewhere(page):
    seen, left = set(), ["/"]
    while left:
        path = left.pop()
        answer, content = page.request("GET", path)
        assert answer.status == 200, path
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        seen.add(path)
        text = content.decode()
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        found = re.findall(r'(?:src|href)="(/[^"]+)"', text)
        folder = path.rpartition("/")[0]
        found += [f"{folder}/{name}" for name in re.findall(r'from "\./([\w.]+)"', text)]
        left += [name for name in found if name not in seen]
    served = {f"/{file.relative_to(PAGE).as_posix()}" for file in PAGE.rglob("*") if file.is_file()}
    assert served - {"/index.html"} == seen - {"/"}


@pytest.mark.parametrize("content", [b"", b"[1", b"[]", b"{}", b'{"lanes": 3}', b'{"lanes": [[]], "seeds": "x"}'])
def test_a_request_that_cannot_be_read_is_answered(page, content):
    answer, text = page.request("POST", "/api/start", content, Content_Type="application/json")
    assert answer.status == 400
    assert json.loads(text)["error"]


def test_a_forgotten_session_is_gone(page):
    page.ask("advance", session="nobody", epochs=1)
    assert page.status == 410


def test_old_sessions_are_forgotten(page):
    first = page.start("data=moons data.samples=20 epochs=1 model.hidden=[2]")["session"]
    for _ in range(8):
        page.start("data=moons data.samples=20 epochs=1 model.hidden=[2]")
    page.ask("advance", session=first)
    assert page.status == 410


def test_a_port_that_is_in_use_is_said():
    answers = Answers(Tables(Path("outputs")))
    with PlayServer(0, answers) as server, pytest.raises(ConfigError, match=f"--port {server.server_port}: .*in use"):
        PlayServer(server.server_port, answers)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "70000"], "--port 70000: a port is a number"),
        (["optimiser=adam"], "optimiser: nettrain-play does not set it"),
        (["data=digits"], "choose from moons, spirals"),
    ],
)
def test_mistakes_of_the_terminal_end_with_a_sentence(monkeypatch, capsys, arguments, sentence):
    monkeypatch.setattr(sys, "argv", ["nettrain-play", "--no-browser", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"nettrain: {sentence}" if sentence[0] == "-" else "nettrain: ")
    assert sentence in error
    assert "Traceback" not in error


def test_settings_of_the_terminal_are_in_the_address():
    assert start_of([]) == ""
    assert start_of(["model.hidden=[4,2]", "data.target=a b&c"]) == "#model.hidden=[4,2]&data.target=a%20b%26c"


def test_the_program_serves_until_it_is_interrupted(tmp_path):
    code = "from nettrain.play.program import main; main()"
    program = subprocess.Popen(
        [sys.executable, "-c", code, "--no-browser", "--port", "0", "bs=8"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert program.stdout is not None
    line = program.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+/#bs=8", line)
    assert address, line
    with urllib.request.urlopen(address[0].partition("#")[0]) as answer:
        assert b"nettrain" in answer.read()
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=30)
    assert program.returncode == 0
    assert errors == ""
    assert not list(tmp_path.iterdir())
