"""`--help` shows what a run with the same arguments would use."""

import itertools

from nettrain.app.help import help_text


def shown(*arguments):
    lines = [
        line.split()[0] for line in help_text(list(arguments)).splitlines() if line.startswith("  ") and "=" in line
    ]
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
    first = next(i for i, line in enumerate(lines) if line.startswith("  layers for ")) + 2
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
    text = help_text(["model=cnn", "model.channels=[8,8,8,8,8]"])
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
