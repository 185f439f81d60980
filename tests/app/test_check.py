"""nettrain-check: right answers are told from wrong ones, by a sentence that does not say what would be right."""

import math
import re
import sys

import numpy as np
import pytest
import torch

import nettrain
from nettrain.app import tools
from nettrain.exercises.course import EXERCISES

RIGHT = {
    "parabola_1": "1 -2 1",
    "parabola_3": "b",
    "gradient_descent_1": "0.16",
    "gradient_descent_2": "0.41",
    "gradient_descent_3": "(c)",
    "backpropagation_1": "0.5 1.5",
    "backpropagation_4": "B",
    "counting_updates_1": "34 170",
    "counting_updates_2": "15",
    "counting_updates_3": "b",
    "batch_size_1": "0.0625",
    "batch_size_2": "1e-2",
    "batch_size_3": "a",
    "learning_rate_decay_1": "0.075",
    "learning_rate_decay_2": "0.0333",
    "learning_rate_decay_3": "b",
    "momentum_1": "0.5",
    "momentum_2": "0.2",
    "momentum_3": "0.81",
    "momentum_4": "c",
    "adaptive_1": "0.1",
    "adaptive_4": "10",
    "adaptive_5": "b",
    "likelihood_1": "0.223",
    "likelihood_2": "-0.75 0.25 0.5",
    "likelihood_3": "0.75",
    "likelihood_4": "b",
    "activations_1": "0.36",
    "activations_2": "0.27",
    "activations_3": "a",
    "vanishing_gradients_1": "8",
    "vanishing_gradients_2": "0.212",
    "vanishing_gradients_3": "2",
    "vanishing_gradients_4": "b",
    "linear_network_1": "6 1",
    "linear_network_2": "321",
    "linear_network_3": "b",
    "initialisation_1": "0.159",
    "initialisation_2": "0.0039",
    "initialisation_3": "2.30",
    "initialisation_4": "a",
    "second_order_1": "2",
    "second_order_2": "2",
    "second_order_3": "49",
    "second_order_4": "c",
    "search_1": "0.078",
    "search_2": "200",
    "search_3": "b",
    "search_4": "a",
    "overfitting_1": "0.074",
    "overfitting_2": "97",
    "overfitting_3": "b",
    "overfitting_4": "b",
    "regularisation_1": "0.905",
    "regularisation_2": "1.25",
    "regularisation_3": "0.001",
    "regularisation_4": "b",
    "own_rule_1": "300",
    "own_rule_3": "0.1",
    "own_rule_4": "b",
}
BY_RUNS = {"parabola_2", "backpropagation_2"}
WRITTEN = {"backpropagation_3", "adaptive_2", "adaptive_3", "own_rule_2"}


@pytest.fixture
def check(monkeypatch, capsys, here):
    """`check("momentum_1", "0.5")` runs the program: its exit code, and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nettrain-check", *map(str, arguments)])
        capsys.readouterr()
        try:
            tools.check()
            code = 0
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, (out + err).strip()

    return run


def test_every_exercise_has_a_right_answer(check):
    assert set(EXERCISES) == {*RIGHT, *BY_RUNS, *WRITTEN}
    for name, answers in RIGHT.items():
        code, text = check(name, *answers.split())
        assert (code, text[:6]) == (0, "Right."), (name, text)


def test_a_wrong_number_is_met_with_a_hint_that_does_not_name_the_right_one(check):
    for name, answers in RIGHT.items():
        if EXERCISES[name].takes == ("LETTER",):
            continue
        wrong = [f"{3 * float(answer) + 7:g}" for answer in answers.split()]
        code, text = check(name, *wrong)
        assert code == 1
        assert text.startswith("Not yet. ")
        assert len(text) > 25
        told = {
            float(number) for number in re.findall(r"(?<![\w.^])-?\d+\.?\d*(?:e-?\d+)?(?![\w/])", text.replace(",", ""))
        }
        assert not told & {float(answer) for answer in answers.split()} or name == "backpropagation_1", (name, text)


def test_a_wrong_letter_is_met_with_what_is_wrong_with_it(check):
    for name, answers in RIGHT.items():
        if EXERCISES[name].takes != ("LETTER",):
            continue
        for letter in {"a", "b", "c"} - {answers.strip("()").lower()}:
            code, text = check(name, letter)
            if name == "search_3" and letter == "c":
                assert (code, text) == (2, "nettrain: search_3: c is none of the answers; choose from a, b.")
            else:
                assert code == 1, (name, letter)


def test_parts_of_an_answer_that_are_right_are_said_to_be(check):
    assert check("parabola_1", 1, 2, 1) == (
        1,
        "Not yet. w2 is not right; w1 and w3 are. Each point gives an equation; begin with the one at x = 0.",
    )


def test_a_usual_mistake_has_a_sentence_of_its_own(check):
    assert check("gradient_descent_1", 0.4) == (1, "Not yet. That is after one update; there are two.")
    assert "rounded down" in check("learning_rate_decay_1", 0.3 * 0.5**2.5)[1]


def test_what_runs_find_is_right(check, command):
    ended = command("experiment=course/parabola", "data.data_seed=5", "hydra.run.dir=parabola")
    found = re.findall(r"^w\d +(\S+)", ended.out, re.M)
    assert check("parabola_2", *(f"{float(value):.3g}" for value in found))[0] == 0
    command("experiment=course/backpropagation", "seed=3", "figures=auto", "quiet=true", "hydra.run.dir=tiny")
    before, after = nettrain.Run("tiny").trajectory[1]
    assert check("backpropagation_2", float((before - after)[-1] / 0.5))[0] == 0
    command("experiment=course/likelihood", "data=iris", "quiet=true", "hydra.run.dir=iris")
    assert check("likelihood_3", math.exp(-nettrain.Run("iris").summary["test_loss"]))[0] == 0
    for rate, code in ((0.40, 0), (0.42, 1)):
        command("experiment=course/gradient_descent", f"optimizer.lr={rate}", "quiet=true", f"hydra.run.dir={rate}")
        loss = nettrain.Run(str(rate)).columns["train_loss"]
        assert (loss[-1] > loss[-2]) == bool(code)


@pytest.mark.slow
def test_what_sweeps_find_is_right(command, here):
    def median(key, number, *arguments):
        folder = f"sweep{number}"
        assert command("-m", *arguments, "quiet=true", f"hydra.sweep.dir={folder}").code == 0
        groups = {}
        for run in nettrain.Sweep(folder).runs:
            found = [
                word for word in (run.folder / ".hydra" / "overrides.yaml").read_text().splitlines() if key in word
            ]
            groups.setdefault(found[0].partition("=")[2], []).append(run)
        return groups

    def losses(groups, entry="train_loss"):
        return {name: np.median([run.summary[entry] for run in runs]) for name, runs in groups.items()}

    seeds = "seed=range(10)"
    rates = losses(
        median("optimizer.lr", 0, "experiment=course/batch_size", "bs=1", "optimizer.lr=0.1,0.03,0.01", seeds)
    )
    assert min(rates, key=rates.get) == "0.01"
    adagrad = ["experiment=course/adaptive", "optimizer=adagrad", "optimizer.lr=0.1,1,10", "epochs=200", seeds]
    rates = losses(median("optimizer.lr", 1, *adagrad), "best_train_loss")
    assert min(rates, key=rates.get) == "10"
    decays = ["experiment=course/regularisation", "optimizer.weight_decay=0.0001,0.001,0.01", seeds]
    found = losses(median("weight_decay", 2, *decays), "val_loss")
    assert min(found, key=found.get) == "0.001"
    relu = ["experiment=course/search", "activation=relu", "optimizer=adam", "optimizer.lr=0.05", "epochs=400"]
    (runs,) = median("optimizer=", 3, *relu, "seed=range(3)").values()
    assert max(run.summary["train_loss"] for run in runs) < 0.1
    assert all(run.summary["function_evaluations"] + 2 * run.summary["gradient_evaluations"] == 1200 for run in runs)
    genetic = nettrain.train(["experiment=course/search", "budget.function_evaluations=1200", "quiet=true"])
    assert genetic.summary["train_loss"] > 0.1
    layers = ["experiment=course/vanishing_gradients", "activation=sigmoid", "model.hidden=[32],[32,32],[32,32,32]"]
    found = losses(median("hidden", 4, *layers, "seed=range(3)"))
    assert found["[32,32]"] < 2 < found["[32,32,32]"]
    groups = median("hidden", 5, "experiment=course/overfitting", "model.hidden=[8],[64,64]", seeds)
    pairs = zip(*([run.summary["best_val_loss"] for run in runs] for runs in groups.values()), strict=True)
    assert sum(large < small for small, large in pairs) >= 7


ADAGRAD = "def adagrad(w, g, s, lr):\n    s = s + g * g\n    return {}, s\n"
ADAM = """
def adam(w, g, m, v, t, lr, beta1, beta2):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g ** 2
    return w - lr * {}, m, v
"""
CORRECTED = "(m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + 1e-8)"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("adaptive_2", ADAGRAD.format("w - lr * g / s.sqrt()")),
        ("adaptive_2", ADAGRAD.format("w - lr * g / (s ** 0.5 + 1e-10)")),
        ("adaptive_3", ADAM.format(CORRECTED)),
        ("adaptive_3", ADAM.format("m / v.sqrt()")),
    ],
)
def test_a_rule_that_is_written_rightly_agrees_over_50_updates(check, here, name, code):
    (here / "mine.py").write_text(code)
    status, text = check(name, "mine.py")
    assert status == 0
    assert "agrees with nettrain's over 50 updates" in text


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("adaptive_2", ADAGRAD.format("w - lr * g / s"), "update 1, in w3, by 0.[0-9]+. So does one that divides by s"),
        ("adaptive_2", ADAGRAD.format("w - lr * g"), "without the division"),
        ("adaptive_2", ADAGRAD.format("w + lr * g / s.sqrt()"), "goes up instead of down"),
        (
            "adaptive_2",
            ADAGRAD.format("w - lr * g / s.sqrt()").replace("s + g", "0.9 * s + g"),
            "update 2, .* Update 1 was",
        ),
        ("adaptive_2", ADAGRAD.format("w - 2 * lr * g / s.sqrt()"), "update 1, .* by hand"),
        ("adaptive_3", ADAM.format("(m / (1 - beta1**t)) / v.sqrt()"), "v is not corrected"),
        ("adaptive_3", ADAM.format(CORRECTED.replace("**t", "**(t + 1)")), "counts t from 2 on"),
    ],
)
def test_a_rule_that_is_written_wrongly_is_told_where_it_first_differs(check, here, name, code, sentence):
    (here / "mine.py").write_text(code)
    status, text = check(name, "mine.py")
    assert status == 1
    assert re.search(sentence, text), text


@pytest.mark.parametrize(
    ("code", "code_of_end", "sentence"),
    [
        ("", 2, "mine.py has no function adagrad."),
        ("def adagrad(w, g, s, lr): w - g", 2, r"adagrad\(w, g, s, lr\) returns nothing; it must return w, s."),
        ("def adagrad(w, g, s, lr): return w", 2, "returns 1 value; it must return w, s."),
        ("def adagrad(w, g, s, lr): return 'a', 'b'", 2, "is not made of numbers"),
        (
            "def adagrad(w, g, s, lr): return w[:2], s",
            2,
            r"of the shape \(2,\); w, g and all that is kept have the shape \(3,\)",
        ),
        ("def adagrad(w, g): return w", 2, r"adagrad\(w, g, s, lr\) fails: TypeError"),
        ("def adagrad(", 2, "mine.py cannot be imported: SyntaxError"),
        ("raise SystemExit", 2, "mine.py cannot be imported: SystemExit"),
        ("def adagrad(w, g, s, lr): return w * float('nan'), s", 1, "first differs from nettrain's at update 1"),
    ],
)
def test_a_file_that_cannot_be_checked_is_refused_by_a_sentence(check, here, code, code_of_end, sentence):
    (here / "mine.py").write_text(code)
    status, text = check("adaptive_2", "mine.py")
    assert status == code_of_end
    assert re.search(sentence, text), text


BACKWARD = """
import numpy as np

def gradients(W1, c1, W2, c2, X, Y):
    H = 1 / (1 + np.exp(-(W1 @ X + c1)))
    D2 = 2 / Y.shape[1] * (W2 @ H + c2 - Y)
    D1 = W2.T @ D2 * H * (1 - H)
    return D1 @ X.T, D1.sum(1, keepdims=True), D2 @ H.T, D2.sum(1, keepdims=True)
"""


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        (("", ""), 0, "All four derivatives agree"),
        (("2 / Y.shape[1] * ", ""), 1, "off by a factor"),
        ((" * H * (1 - H)", " * H"), 1, "by c1 and W1 are not right. Begin with"),
        (("D2 @ H.T", "D2 @ (1 - H).T"), 1, "by W2 is not right"),
        (("D2 @ H.T", "(D2 @ H.T)[:, :2]"), 1, r"by W2 has the shape \(1, 2\)"),
        ((", D2.sum(1, keepdims=True)", ""), 2, "must return four arrays"),
        (("W1 @ X", "X @ W1"), 2, "fails: ValueError"),
    ],
)
def test_a_backward_pass_is_compared_with_autograd(check, here, change, status, sentence):
    (here / "mine.py").write_text(BACKWARD.replace(*change, 1))
    code, text = check("backpropagation_3", "mine.py")
    assert code == status
    assert re.search(sentence, text), text


AVERAGED = """
from dataclasses import dataclass
import torch
from nettrain.optimizers.rules import Rule
from nettrain.registry import option

@dataclass
class Averaged(Rule):
    name: str = "averaged"
    beta: float = option(0.9, "share that is kept", minimum=0, below=1)

    def init(self, w):
        return {"v": torch.zeros_like(w)}

    def coefficients(self, t, lr):
        return {"beta": self.beta, "new": 1 - self.beta, "step": -lr}

    def update(self, state, w, g, c):
        v = state["v"]
        v.mul_(c["beta"]).add_(g * c["new"])
        w.add_(v * c["step"])
"""


@pytest.mark.usefixtures("parts_are_forgotten")
def test_a_rule_as_a_class_is_checked(check, here):
    for change, status, sentence in [
        (("", ""), 0, "agrees with nettrain's over 50 updates"),
        (('g * c["new"]', "g"), 1, "momentum as a sum"),
        (("v * c", "v / v.abs().max() * c"), 1, "check_rule finds that this is not so"),
        (("class Averaged(Rule)", "class Averaged"), 2, "derived from"),
        (('state["v"]', 'state["m"]'), 2, "Averaged fails: KeyError"),
    ]:
        (here / "parts.py").write_text(AVERAGED.replace(*change, 1))
        code, text = check("own_rule_2", "parts.py")
        assert code == status
        assert re.search(sentence, text), text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("parabola",), "parabola: which of its exercises? Choose from parabola_1, parabola_2, parabola_3."),
        (("parabol_1",), "parabol_1: there is no such exercise; did you mean parabola_1?"),
        (("parabola_1", 1, 2), "parabola_1: 2 answers, but it takes 3: nettrain-check parabola_1 W1 W2 W3."),
        (("momentum_1", "x"), "momentum_1: x is not a number, such as 0.5 or 1e-3."),
        (("momentum_1", "0,5"), "momentum_1: 0,5 is not a number, such as 0.5 or 1e-3."),
        (("momentum_1", "nan"), "momentum_1: nan is not a number, such as 0.5 or 1e-3."),
        (("momentum_1", "1e999"), "momentum_1: 1e999 is not a number, such as 0.5 or 1e-3."),
        (("counting_updates_2", "12.5"), "counting_updates_2: 12.5 is not a whole number, such as 80."),
        (("adaptive_2", "none.py"), "adaptive_2: none.py is no file; give a Python file with the function adagrad."),
        (("adaptive_2", "."), "adaptive_2: . is no file; give a Python file with the function adagrad."),
    ],
)
def test_bad_input_is_one_sentence(check, arguments, sentence):
    assert check(*arguments) == (2, f"nettrain: {sentence}")


def test_without_arguments_all_exercises_are_listed(check):
    code, text = check()
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()] == list(EXERCISES)


def test_a_negative_number_is_an_answer(check):
    assert check("likelihood_2", "-0.75", "0.25", "0.5")[0] == 0


def test_help_says_what_it_is_for(check):
    code, text = check("--help")
    assert code == 0
    assert "Without arguments it lists the exercises" in " ".join(text.split())


def test_an_answer_changes_nothing(check, here):
    (here / "mine.py").write_text(ADAGRAD.format("w - lr * g / s.sqrt()"))
    before = torch.get_rng_state()
    check("adaptive_2", "mine.py")
    assert torch.equal(torch.get_rng_state(), before)
    assert {path.name for path in here.iterdir()} == {"mine.py"}
