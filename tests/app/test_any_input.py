"""Whatever the config and the table are: a run completes, or it ends with one message and an exit code."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nettrain.config.schema import parts

CODES = (0, 2, 3, 4)  # completed, a mistake in the config, in the data, diverged

numbers = st.one_of(
    st.sampled_from(["0", "-1", "1", "0.5", "1e-3", "1e30", "nan", "inf", "null", "true", "abc", "[1]", "10", "1e-45"]),
    st.floats(0, 2).map(repr),
)
KEYS = {
    "bs": st.sampled_from(["1", "7", "32", "full", "1000", "0", "2.5"]),
    "seed": st.sampled_from(["0", "1", "-1", "9223372036854775807"]),
    "precision": st.sampled_from(["float32", "float64"]),
    "drop_last": st.sampled_from(["true", "false"]),
    "on_divergence": st.sampled_from(["stop", "skip_step", "restore_and_halve_lr"]),
    "early_stopping.patience": st.sampled_from(["1", "2", "null", "0"]),
    "checkpoint.every_steps": st.sampled_from(["1", "3", "null"]),
    "optimizer.lr": numbers,
    "optimizer.weight_decay": numbers,
    "optimizer.clip_norm": numbers,
    "optimizer.momentum": numbers,
    "model.hidden": st.sampled_from(["[3]", "[]", "[2,2]", "[0]", "4"]),
    "model.dropout": numbers,
    "schedule.warmup": numbers,
    "data.standardize": st.sampled_from(["true", "false"]),
    "budget.updates": st.sampled_from(["1", "5", "null", "-3"]),
}
GROUPS = {
    "data": ["iris", "wine", "diabetes", "moons", "quadratic"],
    "optimizer": list(parts("optimizer")),
    "activation": list(parts("activation")),
    "schedule": list(parts("schedule")),
    "head": ["auto", "sigmoid_bce", "softmax_ce", "identity_mse"],
    "model": ["mlp", "linear", "polynomial"],
}
configs = st.fixed_dictionaries(
    {"data": st.sampled_from(GROUPS["data"])},
    optional={**{group: st.sampled_from(names) for group, names in GROUPS.items() if group != "data"}, **KEYS},
)

cells = st.one_of(
    st.sampled_from(
        ["", "a", "b", "1", "0", "-2.5", "nan", "1e400", "?", '"', '"x,y"', "é", "inf", " 3 ", "1,5", "\0"]
    ),
    st.integers(-5, 5).map(str),
    st.text(max_size=3),
)
tables = st.builds(
    lambda names, rows, ending: ending.join(",".join(row) for row in [names, *rows]).encode(errors="surrogatepass"),
    st.lists(st.sampled_from(["x", "y", "z", "", "x"]), min_size=1, max_size=4),
    st.lists(st.lists(cells, min_size=1, max_size=4), max_size=30),
    st.sampled_from(["\n", "\r\n"]),
)
plain_tables = st.builds(
    lambda rows, label: ("x,z,y\n" + "".join(f"{x},{z},{label(y)}\n" for x, z, y in rows)).encode(),
    st.lists(
        st.tuples(st.floats(-1e3, 1e3), st.sampled_from(["", "a", "b", "c"]), st.integers(0, 3)),
        min_size=5,
        max_size=40,
    ),
    st.sampled_from([str, lambda y: "pqrs"[y], lambda y: y % 2, lambda y: y + 0.5]),
)


def check(command, *arguments):
    """Run it in a folder of its own, which is empty again if nothing could be trained."""
    ended = command(*arguments, "quiet=true", "tensorboard=false", "hydra.run.dir=run")
    assert ended.code in CODES, (arguments, ended)
    if ended.code in (2, 3):
        assert len(ended.err.splitlines()) == 1
        assert ended.err.startswith("nettrain: ")
        assert len(ended.err) > 30
        assert not Path("run").exists()
    else:
        assert (Path("run") / "summary.json").exists()
    assert "Traceback" not in ended.err + ended.out
    shutil.rmtree("run", ignore_errors=True)


def few(examples):
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, suppress_health_check=checks, derandomize=True, database=None)


def any_config(command, config):
    check(command, "epochs=2", "model.hidden=[4]", *(f"{key}={value}" for key, value in config.items()))


def any_table(command, content):
    Path("t.csv").write_bytes(content)
    check(command, "data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "epochs=1", "model.hidden=[3]")


@few(12)
@given(configs)
def test_any_config(command, config):
    any_config(command, config)


@few(12)
@given(st.one_of(tables, plain_tables))
def test_any_table(command, content):
    any_table(command, content)


@pytest.mark.slow
@few(400)
@given(configs)
def test_many_configs(command, config):
    any_config(command, config)


@pytest.mark.slow
@few(400)
@given(st.one_of(tables, plain_tables))
def test_many_tables(command, content):
    any_table(command, content)
