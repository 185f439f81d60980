"""The engines: a compiled run is the eager one, to rounding, wherever it stops and goes on."""

import json
import time
from dataclasses import asdict

import numpy as np
import pytest
import torch
from test_rows import CPU, HEADS, setups

import nettrain
from nettrain.config.schema import parts
from nettrain.config.settings import Budget
from nettrain.errors import ConfigError
from nettrain.optimizers.rules import Rule
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.counters import Counters
from nettrain.training.engines import choose as engines
from nettrain.training.engines.choose import choose_engine
from nettrain.training.engines.fused import PART as PART_SIZE
from nettrain.training.engines.fused import Fused
from nettrain.training.engines.protocol import gradient_costs
from nettrain.training.trainer import Trainer

RULES = [name for name, part in parts("optimizer").items() if issubclass(part, Rule)]
DATA = {"sigmoid_bce": "breast_cancer", "softmax_ce": "wine", "identity_mse": "diabetes"}
PART = ["data=wine", "model.hidden=[7]", "model.dropout=0.2", "bs=8", "precision=float64", "quiet=true"]


@pytest.fixture(scope="module", autouse=True)
def programs(tmp_path_factory):
    """A cache of compiled programs for the tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "nettrain"


def weights(run, name="last.pt"):
    return load_checkpoint(run.folder / "checkpoints" / name)["model"]


def assert_close(one, other):
    for name in other:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=1e-12)


def assert_same(one, other):
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_compiled_run_is_the_eager_one_and_can_stop_and_go_on_anywhere(here, programs):
    eager = nettrain.train([*PART, "engine=eager", "epochs=8"])  # 125 samples: the last of 16 batches is smaller
    compiled = nettrain.train([*PART, "engine=compiled", "epochs=8"])
    assert compiled.summary["updates"] == 128
    assert_close(weights(compiled), weights(eager))
    for column in ("train_loss", "val_accuracy", "gradient_norm", "update_to_weight"):
        np.testing.assert_allclose(compiled.metrics[column], eager.metrics[column], rtol=1e-9)
    assert load_checkpoint(compiled.folder / "checkpoints" / "last.pt")["engine"] == "compiled"

    saved = nettrain.train([*PART, "engine=compiled", "epochs=8", "checkpoint.every_seconds=0"])  # a save is always due
    assert_same(weights(saved), weights(compiled))

    stopped = nettrain.train([*PART, "engine=compiled", "epochs=8", "budget.updates=37"])  # in the third epoch
    assert stopped.summary["updates"] == 37
    resumed = nettrain.train([f"resume={stopped.folder}", "budget.updates=null"])
    assert_same(weights(resumed), weights(compiled))

    diverged = nettrain.train([*PART, "engine=compiled", "epochs=8", "optimizer.lr=1e300"])  # the same program
    assert diverged.summary["status"] == "diverged"
    assert len(list(programs.glob("*.so"))) == 1


def test_a_signal_ends_a_run_while_it_is_compiling(here, monkeypatch, tmp_path):
    slow = tmp_path / "g++"
    slow.write_text("#!/bin/sh\nkill -TERM $PPID\nsleep 60\n")  # a timer might be faster than the run's start
    slow.chmod(0o755)
    monkeypatch.setenv("CXX", str(slow))
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        nettrain.train([*PART, "model.hidden=[5]", "engine=compiled"])
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["optimizer=lbfgs"], "only gradient rules"),
        (["model._target_=torch.nn.Linear", "model=module"], "only nettrain's own models"),
        (["accumulate=2"], "accumulate and precision=bf16"),
        (["on_divergence=skip_step"], "on_divergence=skip_step looks at every update"),
    ],
)
def test_what_cannot_be_compiled_is_refused_at_once(here, overrides, why):
    with pytest.raises(ConfigError, match=f"engine=compiled: .*{why}"):
        nettrain.train(["data=iris", "engine=compiled", "quiet=true", *overrides])
    assert not list(here.rglob("summary.json"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("override", ["engine=graph", "precision=tf32"])
def test_what_is_for_a_gpu_is_refused_without_one(here, override):
    with pytest.raises(ConfigError, match=f"{override}: .* for device=cuda, and this run is on cpu; use"):
        nettrain.train(["data=iris", "quiet=true", override])
    assert not list(here.rglob("summary.json"))


def test_without_a_compiler_auto_is_eager_and_compiled_says_why(here, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(engines, "BUILD_SECONDS", -1000.0)  # compiling would pay at once
    run = nettrain.train(["data=iris", "bs=1", "epochs=2"])
    assert "compiled" not in capsys.readouterr().out
    assert run.summary["status"] == "completed"
    with pytest.raises(ConfigError, match=r"engine=compiled: there is no C\+\+ compiler"):
        nettrain.train(["data=iris", "engine=compiled", "quiet=true"])


def test_a_compiler_that_fails_leaves_auto_eager_and_says_so(here, monkeypatch, capsys, tmp_path):
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho no space >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setattr(engines, "BUILD_SECONDS", -1000.0)
    run = nettrain.train(["data=iris", "bs=1", "epochs=2", "model.hidden=[3]"])
    assert "engine     eager: this run's update cannot be compiled (no space)" in capsys.readouterr().out
    assert run.summary["status"] == "completed"


def test_an_old_compiler_builds_the_program_without_what_it_does_not_know(here, monkeypatch, tmp_path, programs):
    old = tmp_path / "g++"
    old.write_text('#!/bin/sh\nfor a in "$@"; do [ "$a" = -march=native ] && exit 1; done\nexec g++ "$@"\n')
    old.chmod(0o755)
    wide = nettrain.train([*PART, "engine=compiled", "epochs=3", "activation=tanh"])
    for path in programs.glob("*.so"):
        path.unlink()
    monkeypatch.setenv("CXX", str(old))
    plain = nettrain.train([*PART, "engine=compiled", "epochs=3", "activation=tanh"])
    assert_close(weights(plain), weights(wide))


def test_auto_compiles_where_that_saves_more_than_it_takes(here):
    (setup,) = setups(here, "data=iris", "bs=8", "precision=float32", rows=[""])
    stack = Trainer([setup], CPU).stack
    for updates, expected in [(1000, "eager"), (10**6, "compiled")]:
        said = []
        engine = choose_engine(stack, "auto", updates, 1, lambda: False, said.append)
        assert engine.name == expected
        assert bool(said) == (expected == "compiled")
        if said:
            assert "engine     compiled: it saves about 72 s of 1000000 updates" in said[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], "eager"), (["model.dropout=0.1"], "compiled"), (["model=tabm", "model.k=8"], "compiled")],
)
def test_auto_compiles_sooner_where_units_are_dropped_or_weights_shared(here, words, expected):
    (setup,) = setups(here, "data=iris", "bs=8", "precision=float32", *words, rows=[""])
    engine = choose_engine(Trainer([setup], CPU).stack, "auto", 10**4, 1, lambda: False, lambda _: None)
    assert engine.name == expected


def test_in_float64_auto_is_eager_for_a_row_and_for_the_run_alone_and_says_what_that_costs(here):
    runs = setups(here, "data=iris", "bs=8", rows=["seed=1", "seed=2"])
    for together in runs[:1], runs:
        said = []
        engine = choose_engine(Trainer(together, CPU).stack, "auto", 10**6, 1, lambda: False, said.append)
        assert engine.name == "eager"
        assert len(said) == 1
        assert said[0].startswith(
            "engine     eager: the same digits in float64 as without compiling; engine=compiled would save about "
        )


def test_a_run_goes_on_with_the_engine_it_had(here):
    common = [*PART, "precision=float32", "epochs=8", "engine=auto"]
    whole = nettrain.train(common)  # too short to be compiled
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "BUILD_SECONDS", 0.0)
        stopped = nettrain.train([*common, "budget.updates=37"])
        compiled = nettrain.train(common)
    assert load_checkpoint(stopped.folder / "checkpoints" / "last.pt")["engine"] == "compiled"
    assert not all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(compiled).values(), strict=True))
    resumed = nettrain.train([f"resume={stopped.folder}", "budget.updates=null"])
    assert_same(weights(resumed), weights(compiled))


def test_the_updates_that_are_left():
    counters = Counters(Budget(updates=30, gradient_evaluations=20))
    counters.add(12, gradient_costs(12))
    assert counters.left(100) == 8
    assert counters.left(15) == 3
    assert Counters(Budget()).left(15) == 15


def test_rows_share_the_seconds_in_which_they_train(monkeypatch):
    now = 100.0
    monkeypatch.setattr("nettrain.training.counters.time.monotonic", lambda: now)
    counters = Counters(Budget(), rows=4)
    now += 8
    assert (counters.seconds, counters.row_seconds) == (8, 2)
    counters.go_on_with(2)
    now += 6
    assert (counters.seconds, counters.row_seconds) == (14, 5)
    resumed = Counters(Budget(), rows=2)
    resumed.restore({"updates": 3, "seconds": 14.0, **asdict(counters.counts)})
    now += 2
    assert (resumed.seconds, resumed.row_seconds) == (16, 8)


@pytest.mark.sample(4)
@pytest.mark.parametrize("i", range(9))
def test_every_rule_head_and_activation_compiled(here, i):
    """Each of the nine activations, with the heads and rules in turn: over 100 updates, clipped, decayed and noisy."""
    activation = list(parts("activation"))[i]
    head = list(DATA)[i % 3]
    common = [f"data={DATA[head]}", f"activation={activation}", f"optimizer={RULES[i % len(RULES)]}"]
    common += ["model.hidden=[6,5]", "bs=32", "epochs=20", f"head={head}", "optimizer.weight_decay=0.01"]
    common += ["optimizer.clip_norm=1"] if i % 2 else ["model.dropout=0.2"]
    assert_engines_agree(here, *common, rows=[""])


@pytest.mark.sample(4)
@pytest.mark.parametrize("head", HEADS[3:])
def test_heads_with_other_likelihoods_compiled(here, head):
    assert_engines_agree(here, *head.split(), "model.hidden=[6]", "epochs=5", rows=["seed=1", "seed=2"])


@pytest.mark.slow
def test_rows_with_rules_and_dropout_of_their_own_compiled(here):
    rows = ["seed=1", "optimizer=rmsprop seed=2 model.dropout=0.3 epochs=3", "optimizer=adagrad seed=3"]
    rows += ["optimizer=adagrad optimizer.weight_decay=0.1", "optimizer=momentum optimizer.nesterov=true"]
    rows += [
        "optimizer=rmsprop optimizer.centered=true optimizer.momentum=0.5 optimizer.eps=0.01",  # v - m^2 cancels
        "optimizer=adam optimizer.amsgrad=true",
    ]
    rows += ["optimizer=adam optimizer.bias_correction=false optimizer.eps=0 seed=4", "optimizer=sgd schedule=cosine"]
    assert_engines_agree(here, "data=wine", "bs=16", "epochs=12", "model.dropout=0.1", rows=rows)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "model",
    [
        "model.channels=[3,5] model.hidden=[6] model.dropout=0.2",
        "model.channels=[4,6] model.blocks=1 model.flatten=false activation=tanh",
        "model.channels=[4] model.kernel=5 model.pool=3 optimizer=sgd",
        "model.channels=[4] model.norm=group model.groups=2 model.hidden=[6]",
        "model.channels=[3,4] model.norm=layer model.blocks=1 model.hidden=[5]",
    ],
)
def test_convolutional_networks_compiled(here, model):
    """Bytes become floats; the second row has other samples, and with them another mean and scale."""
    common = ["data=digits_images", "model=cnn", *model.split(), "bs=100", "epochs=2"]
    assert_engines_agree(here, *common, rows=["seed=1", "seed=2 optimizer.lr=0.003"])


@pytest.mark.sample(2)
@pytest.mark.parametrize("model", ["gru", "gru model.bidirectional=true model.layers=2 model.dropout=0.2", "lstm"])
def test_recurrent_networks_compiled(here, model):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 3, 4))
    np.savez("x.npz", x=x, y=x[:, 0, 0] > x[:, 2, 1])
    common = ["data=npz", "data.path=x.npz", f"model={model}".split()[0], *model.split()[1:], "model.hidden=5"]
    assert_engines_agree(here, *common, "bs=16", "epochs=5", rows=["seed=1", "seed=2 optimizer.lr=0.01"])


@pytest.mark.slow
def test_auto_compiles_a_recurrent_network_where_that_saves_more_than_it_takes(here):
    (run,) = setups(here, "data=digits_rows", "model=gru", "model.hidden=4", "precision=float32", rows=[""])
    stack = Trainer([run], CPU).stack
    for updates, chosen in ((10_000, "eager"), (20_000, "compiled")):
        assert choose_engine(stack, "auto", updates, 1, lambda: False, print).name == chosen


@pytest.mark.parametrize("rows", [[""], ["seed=1", "seed=2"]])
def test_the_whole_training_split_in_one_batch_compiled(here, rows):
    assert_engines_agree(here, "data=quadratic", "model=polynomial", "bs=full", "epochs=100", rows=rows)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("head", DATA)
@pytest.mark.parametrize("activation", list(parts("activation")))
def test_every_combination_compiled(here, rule, head, activation):
    common = [f"data={DATA[head]}", f"activation={activation}", f"optimizer={rule}", f"head={head}"]
    assert_engines_agree(here, *common, "model.hidden=[6,5]", "bs=32", "epochs=20", rows=[""])


def assert_engines_agree(here, *common, rows):
    ended = {}
    for engine in ("eager", "compiled"):
        trainer = Trainer(setups(here / engine, f"engine={engine}", *common, rows=rows), CPU, threads=2)
        ended[engine] = trainer.run()
        assert trainer.engine.name == engine
    for one, other in zip(ended["compiled"], ended["eager"], strict=True):
        for checkpoint in ("last.pt", "best.pt"):
            a, b = (load_checkpoint(row.run.folder / "checkpoints" / checkpoint) for row in (one, other))
            assert_close(a["model"], b["model"])
            assert_close(a.get("optimizer", {}), b.get("optimizer", {}))


def test_profile_says_where_the_time_goes_and_writes_a_trace(here, capsys):
    run = nettrain.train(["data=iris", "bs=4", "epochs=5", "profile=true"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    seconds = {" ".join(line[:-3]): float(line[-3]) for line in lines if len(line) > 3 and line[-2].endswith("%")}
    assert {"batch", "forward", "backward", "update", "evaluation", "writing"} <= set(seconds)
    assert sum(seconds.values()) == pytest.approx(run.summary["seconds"], rel=0.5)
    trace = json.loads((run.folder / "profile.json").read_text())
    names = [event.get("name") for event in trace["traceEvents"]]
    assert names.count("update") >= 50
    assert "aten::addmm" in names
    plain = nettrain.train(["data=iris", "bs=4", "epochs=5", "quiet=true"])
    assert_same(weights(plain), weights(run))


OPTIONS = {
    "sgd": {"weight_decay": 0.1, "clip_norm": 0.5},
    "momentum": {"nesterov": True, "weight_decay": 0.1},
    "adagrad": {"lr_decay": 0.1, "clip_norm": 0.5},
    "rmsprop": {"momentum": 0.9, "centered": True},
    "adam": {"amsgrad": True, "weight_decay": 0.1},
    "adamw": {"clip_norm": 0.5},
}


@pytest.mark.parametrize("options", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_a_fused_rule_is_the_rule_on_every_part_of_the_vector(name, options):
    rule = parts("optimizer")[name](**OPTIONS[name] if options else {})
    w = torch.randn(3 * PART_SIZE + 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = [(w.clone(), rule.init(w)) for _ in range(2)]
    fused = Fused(rule, list(rule.all_coefficients(1.0, rule.lr)), w.dtype, 2, lambda: False)
    for t in range(1, 6):
        c = rule.all_coefficients(float(t), rule.lr)
        for (own, state), step in zip(both, (rule.step, fused.step), strict=True):
            step(state, own, torch.sin(own * t), c)
    (w1, state1), (w2, state2) = both
    torch.testing.assert_close(w2, w1, rtol=1e-12, atol=1e-14)
    assert not torch.equal(w1, w)
    for key in state1:
        torch.testing.assert_close(state2[key], state1[key], rtol=1e-12, atol=1e-14)


def test_a_run_with_a_fused_rule_is_the_eager_one_and_goes_on_as_such(here, programs):
    """With what cannot be compiled as a whole: a gradient in parts, updates that are left out."""
    common = [
        *("data=wine", "model.hidden=[64,64]", "bs=8", "precision=float64", "quiet=true", "epochs=8"),
        *("accumulate=2", "on_divergence=skip_step"),
    ]
    eager, fused = (nettrain.train([*common, f"engine={engine}"]) for engine in ("eager", "fused"))
    assert_close(weights(fused), weights(eager))
    assert not all(torch.equal(value, weights(eager)[name]) for name, value in weights(fused).items())
    assert load_checkpoint(fused.folder / "checkpoints" / "last.pt")["engine"] == "fused"
    stopped = nettrain.train([*common, "engine=fused", "budget.updates=37"])
    resumed = nettrain.train([f"resume={stopped.folder}", "budget.updates=null"])
    assert_same(weights(resumed), weights(fused))


def test_auto_fuses_the_rule_of_a_large_network_that_it_cannot_compile(here, capfd):
    large = ["data=digits", "model.hidden=[1100,1000]", "bs=full", "precision=float32", "epochs=2000"]
    run = nettrain.train([*large, "budget.updates=1"])
    assert load_checkpoint(run.folder / "checkpoints" / "last.pt")["engine"] == "eager"  # one update saves nothing
    stack = Trainer(setups(here / "large", *large, rows=[""]), CPU).stack
    chosen = choose_engine(stack, "auto", 10_000, 1, lambda: False, print)
    assert chosen.name == "fused"
    assert "engine     fused: it saves about 6 s of 10000 updates\n" in capfd.readouterr().out


def test_what_a_fused_rule_is_not_for_is_said(here, command):
    ended = command("data=wine", "optimizer=newton", "engine=fused")
    assert (ended.code, ended.err) == (
        2,
        "nettrain: engine=fused: optimizer=newton evaluates the loss as it goes along; only gradient rules can be "
        "compiled; "
        "use engine=auto.\n",
    )
    ended = command("-m", "data=wine", "engine=fused", "seed=1,2", "epochs=1")
    assert ended.code == 0
    assert "2 runs -> 2 alone\n  2 alone: engine=fused is for one large network\n" in ended.out


@pytest.mark.parametrize(
    ("words", "multiplications"),
    [
        # 3 x 3 kernels at 8 x 8 and 4 x 4 places, and two affine maps
        (["data=digits_images", "model=cnn", "model.channels=[4,6]", "model.hidden=[5]"], 2304 + 3456 + 120 + 50),
        # 8 steps of 3 gates of 5 units, of 8 inputs and 5 units
        (["data=digits_rows", "model=gru", "model.hidden=5"], 8 * 15 * (8 + 5) + 50),
        (["data=digits", "model.hidden=[7]"], 64 * 7 + 7 + 7 * 10 + 10),
    ],
)
def test_threads_are_chosen_by_what_a_forward_pass_multiplies(here, words, multiplications):
    (run,) = setups(here, *words, rows=[""])
    assert run.multiplications == multiplications
