"""`--help` shows what a run with the same arguments would use."""

import itertools
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from hydra_plugins.nettrain import StackedLauncherConf
from nettrain.app import tools
from nettrain.app.help import KEYS_OF, TOPICS, help_text
from nettrain.config.schema import GROUPS
from nettrain.config.settings import Settings
from nettrain.registry import options


def shown(*arguments):
    lines = [line.split()[0] for line in help_text(list(arguments)).splitlines() if re.match(r"  \S+=", line)]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_what_a_choice_changes_elsewhere_is_shown():
    assert (shown()["bs"], shown()["epochs"]) == ("32", "50")
    lbfgs = shown("optimizer=lbfgs")
    assert (lbfgs["bs"], lbfgs["epochs"], lbfgs["optimizer.history_size"]) == ("full", "100", "100")
    assert shown("data=quadratic")["bs"] == "8"
    assert shown("experiment=quadratic_sgd")["model.degree"] == "2"


def test_values_among_the_arguments_are_shown():
    assert shown("optimizer=sgd", "optimizer.lr=0.5")["optimizer.lr"] == "0.5"
    assert shown("model._target_=torch.nn.Linear")["model._target_"] == "torch.nn.Linear"


def layers(*arguments):
    lines = help_text(list(arguments)).splitlines()
    first = next(i for i, line in enumerate(lines) if line.split()[:2] == ["layer", "gives"]) + 1
    rows = itertools.takewhile(str.strip, lines[first:])
    return {row.split()[0]: row.split(maxsplit=1)[1].rsplit(maxsplit=1) for row in rows}


def test_the_layers_of_a_network_are_shown_with_what_they_give_and_hold():
    table = layers("model=cnn", "model.channels=[6,16]", "model.kernel=5", "model.hidden=[120,84]")
    assert table == {
        "stages.0": ["6 x 28 x 28", "156"],
        "stages.1": ["16 x 14 x 14", "2,416"],
        "hidden.0": ["120", "94,200"],  # of 16 images of 7 x 7
        "hidden.1": ["84", "10,164"],
        "linear": ["10", "850"],
    }
    assert layers("model=gru")["recurrent"] == ["28 x 64", "18,048"]
    assert layers("model=transformer", "model.width=8")["positions"] == ["512"]
    assert layers("model=resmlp")["blocks.1.linear1"] == ["128", "8,320"]
    text = " ".join(help_text(["model=cnn", "model.channels=[8,8,8,8,8]"]).split())
    assert "10 outputs: model.kernel=3: stages.4 has kernels of 3 x 3, and the images there are 8 x 1 x 1" in text


def test_an_argument_that_does_not_exist_is_a_mistake(command):
    ended = command("--help", "optimizer=adamm")
    assert (ended.code, ended.out) == (2, "")
    assert "there is no such optimizer" in ended.err
    assert command("--help", "optimiser=adam").err.startswith("nettrain: optimiser: there is no such key")


def test_a_folder_of_one_s_own_is_shown_too(command, tmp_path):
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    yaml = "# Adam in a hurry.\ndefaults: [/schema/optimizer/adam@_here_]\nlr: 0.05\n"
    (tmp_path / "mine" / "optimizer" / "fast.yaml").write_text(yaml)
    ended = command("--config-dir", "mine", "--help", "optimizer=fast")
    assert ended.code == 0
    assert "optimizer=fast: Adam in a hurry." in ended.out
    assert "optimizer.lr=0.05 " in ended.out
    assert "bfgs, cma_es, fast," in ended.out


PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("arguments", [(), ("all",), ("data=csv", "model=transformer", "head=quantile")])
def test_help_fits_80_columns(arguments):
    lines = help_text(list(arguments)).splitlines()
    assert max(map(len, lines)) <= 80


def test_the_overview_names_the_topics_the_groups_and_the_other_commands():
    text = help_text([])
    assert len(text.splitlines()) < 90
    for topic in TOPICS:
        assert re.search(rf"^  {topic} ", text, re.M)
    for group in GROUPS:
        assert re.search(rf"^  {group}=\w+ ", text, re.M)
    for name in PROJECT["scripts"]:
        assert re.search(rf"^  {name} ", text, re.M)


def test_topics_show_each_key_of_every_run_and_all_of_them_together():
    seen = Counter(key for topic in KEYS_OF for key in shown(topic) if key in options(Settings))
    assert seen == Counter(options(Settings).keys())  # once each
    assert set(shown("all")) >= {*options(Settings), "optimizer.lr", "model.hidden"}
    sweep = help_text(["sweep"])
    assert [key for key in StackedLauncherConf.__dataclass_fields__ if f"hydra.launcher.{key}=" not in sweep] == [
        "_target_"
    ]
    assert set(shown("schedule")) == {"schedule.warmup"}


def test_a_topic_that_there_is_not_is_a_mistake(command):
    ended = command("--help", "optimiser")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "nettrain: --help optimiser: there is no such topic; did you mean optimizer?\n"


def test_only_a_terminal_has_colours(command, monkeypatch):
    plain = command("--help", "speed").out
    assert "\x1b" not in plain
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("nettrain.terminal.Output.isatty", lambda stream: True)
    coloured = command("--help", "speed").out
    assert "\x1b[36m  device=auto\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert command("--help", "speed").out == plain


@pytest.mark.parametrize("tool", [tools.predict, tools.evaluate, tools.compare])
def test_the_help_of_the_other_commands_fits_80_columns(tool, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [f"nettrain-{tool.__name__}", "--help"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        tool()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"usage: nettrain-{tool.__name__} ")
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("optimizer=ad", {"optimizer=adam", "optimizer=adamw"}), ("optimizer=sgd optimizer.l", {"optimizer.lr="})],
)
def test_a_shell_can_complete_what_is_typed(command, monkeypatch, typed, completed):
    assert "complete -o nospace" in command("-sc", "install=bash").out
    line = f"nettrain {typed}"
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert set(command("-sc", "query=bash").out.split()) >= completed
