"""`--help` shows what a run with the same arguments would use."""

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
