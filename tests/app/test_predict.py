"""Predictions and evaluations of tables that are not quite as the training table was."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

import nettrain
from nettrain.app import tools
from nettrain.data import new_tables
from nettrain.errors import ConfigError, DataError
from nettrain.storage.checkpoint_files import load_checkpoint, save_checkpoint

N = 240
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=N).round(3)
B = RANDOM.random(N) < 0.5
TABLE = pd.DataFrame({"x": X, "b": B, "y": np.where((X > 0) ^ B, "p", "q")})


NEW_KEYS = ["header", "separator", "decimal", "encoding", "missing", "drop_missing_target", "ignore_case", "positive"]


def train(table, *options, folder="run", **written):
    table.to_csv("t.csv", index=False, **written)
    settings = [
        "data=csv",
        "recipe=plain",
        "data.path=t.csv",
        "data.target=y",
        "quiet=true",
        "tensorboard=false",
        "optimizer.lr=0.01",
    ]
    return nettrain.train([*settings, *options], folder=folder)


@pytest.fixture
def run(here):
    return train(TABLE, "epochs=10")


@pytest.fixture
def tool(monkeypatch, capsys):
    def call(function, *arguments):
        monkeypatch.setattr(sys, "argv", [f"nettrain-{function.__name__}", *arguments])
        capsys.readouterr()
        code = 0
        try:
            function()
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_truth_values_by_other_names_give_the_same_evaluation(run, tool):
    expected = run.evaluate(TABLE)
    TABLE.assign(b=B.astype(int)).to_csv("n.csv", index=False)
    TABLE.assign(b=np.where(B, "Yes", "No")).to_parquet("yes.parquet")
    for path in ("n.csv", "yes.parquet"):
        assert run.evaluate(path) == expected
        assert tool(tools.evaluate, "run=run", f"data.path={path}", "strict=true")[::2] == (0, "")


@pytest.mark.parametrize("function", [tools.predict, tools.evaluate])
def test_what_training_had_not_is_said_and_refused_where_that_is_asked_for(run, tool, function):
    TABLE.assign(b=np.where(B, "ja", "nein"), x=X * 100).to_csv("new.csv", index=False)
    far = f"column 'x': far outside the range of the training ({run.encoder.columns[0].low:.10g} to "
    word = "ja" if B[0] else "nein"
    unknown = f"column 'b': no category of the training: 240 of 240 values, such as '{word}' in row 2"
    code, _, err = tool(function, "run=run", "data.path=new.csv", "strict=false")
    first, second = err.splitlines()
    assert (code, second) == (0, f"nettrain: new.csv: {unknown}.")
    assert first.startswith(f"nettrain: new.csv: {far}")
    code, out, err = tool(function, "run=run", "data.path=new.csv", "strict=true", *_output(function))
    assert (code, out) == (3, "")
    assert err.startswith(f"nettrain: new.csv: {far}")
    assert err.endswith(" (and 1 other finding); strict=true refuses such rows.\n")
    assert not Path("p.csv").exists()
    with pytest.raises(DataError, match="strict=true refuses"):
        getattr(nettrain.Run("run"), function.__name__)("new.csv", strict=True)


def _output(function):
    return ["output=p.csv"] if function is tools.predict else []


def test_a_prediction_that_is_not_finite_is_left_empty_and_counted(here, tool):
    small = TABLE.assign(x=X * 1e-3)
    run = train(small, "epochs=5")
    small.loc[[4, 9], "x"] = [9.969209968386869e36, -1e37]
    predicted = run.predict(small)
    whole = np.delete(np.arange(N), [4, 9])
    assert predicted.loc[[4, 9]].isna().all(axis=None)
    for name, column in run.predict(small.loc[whole]).items():
        assert predicted.loc[whole, name].tolist() == column.tolist()
    small.to_csv("new.csv", index=False)
    code, _, err = tool(tools.predict, "run=run", "data.path=new.csv", "output=p.csv")
    counted = "2 of 240 predictions (0.83 %) are not finite, and left empty; the first is that of row 6"
    assert (code, err.splitlines()[-1]) == (0, f"nettrain: new.csv: {counted}.")
    written = Path("p.csv").read_text().splitlines()
    assert written[5] == written[10] == ",,"
    with pytest.raises(DataError, match=r"2 of 240 predictions .* are not finite, so that nothing can be measured"):
        run.evaluate("new.csv")
    assert tool(tools.evaluate, "run=run", "data.path=new.csv")[0] == 3


def test_a_regression_that_is_not_finite_is_left_empty(here):
    table = pd.DataFrame({"x": X * 1e-3, "y": X + 1000})
    run = train(table, "epochs=2")
    predicted = run.predict(pd.DataFrame({"x": [0.0, 1e37]}))["prediction"]
    assert predicted.isna().tolist() == [False, True]


@pytest.mark.parametrize("labels", [[2**53, 2**53 + 1], [2**63 + 1, 2**63 + 3], [501, 7]])
def test_whole_numbers_as_labels_are_predicted_to_the_last_digit(here, labels, tool):
    table = pd.DataFrame({"x": X * 1e-3, "y": [labels[int(x > 0)] for x in X]})
    run = train(table, "epochs=30")
    predicted = run.predict(table)["prediction"]
    assert (predicted == table.y).mean() > 0.9
    table.loc[0, "x"] = 1e37
    assert set(run.predict(table)["prediction"][1:]) == set(labels)  # None among them makes no floats of them
    table.to_csv("new.csv", index=False)
    assert tool(tools.predict, "run=run", "data.path=new.csv", "output=p.csv")[0] == 0
    with open("p.csv") as lines:
        written = [row["prediction"] for row in csv.DictReader(lines)]
    assert written == ["", *map(str, predicted[1:])]


def test_labels_keep_their_zeros(here):
    table = pd.DataFrame({"x": X, "y": np.where(X > 0, "00501", "10001")})
    run = train(table, "epochs=5")
    assert set(run.predict(table)["prediction"]) == {"00501", "10001"}
    assert run.evaluate(table.assign(y=table.y.astype(int))) == run.evaluate(table)
    assert list(run.predict(table)) == ["prediction", "probability_00501", "probability_10001"]


@pytest.mark.parametrize("head", ["auto", "softmax_ce"])
def test_the_positive_class_can_be_chosen(command, here, head):
    label = np.where(X + RANDOM.normal(size=N) > 1, "fraud", "ok")
    table = pd.DataFrame({"x": X, "z": RANDOM.normal(size=N), "y": label})
    train(table, "epochs=5", folder="ok")
    arguments = "data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "epochs=5", "optimizer.lr=0.01"
    ended = command(*arguments, "data.positive=fraud", f"head={head}", "hydra.run.dir=fraud")
    assert "y (2 classes, fraud is positive)" in ended.out
    plain, chosen = nettrain.Run("ok"), nettrain.Run("fraud")
    assert plain.encoder.classes == ["fraud", "ok"]
    assert chosen.encoder.classes == ["ok", "fraud"]
    for run, positive in ((plain, "ok"), (chosen, "fraud"))[head == "softmax_ce" :]:
        predicted, measured = run.predict(table), run.evaluate(table)
        if head == "auto":
            assert measured["f1"] == pytest.approx(f1_score(table.y, predicted["prediction"], pos_label=positive))
            area = roc_auc_score(table.y == positive, predicted[f"probability_{positive}"])
            assert measured["auroc"] == pytest.approx(area, abs=1e-6)
    for name, rows in plain.data.splits.items():
        np.testing.assert_array_equal(rows, chosen.data.splits[name])
    assert command(*arguments, "data.positive=ok", "quiet=true", "hydra.run.dir=again").code == 0
    same = nettrain.Run("again").metrics.drop(columns="seconds")
    assert same.equals(plain.metrics.drop(columns="seconds"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "data=csv data.path=t.csv data.target=y data.positive=fruad",
            "data.positive=fruad: there is no such class (did you mean 'fraud'?); choose from fraud, ok.",
        ),
        ("data=iris data.positive=setosa", "data.positive=setosa: the target 'target' has 3 classes, not two classes."),
        ("data=diabetes data.positive=1", "data.positive=1: the target 'target' has numbers, not two classes."),
    ],
)
def test_a_positive_class_that_is_none_is_refused(command, here, arguments, message):
    pd.DataFrame({"x": X, "y": np.where(X > 0, "fraud", "ok")}).to_csv("t.csv", index=False)
    ended = command(*arguments.split())
    assert (ended.code, ended.err) == (2, f"nettrain: {message}\n")


def test_a_table_that_is_written_in_another_way_is_read_with_options(run, tool):
    expected = run.evaluate(TABLE)
    TABLE.assign(x=[str(x).replace(".", ",") for x in X]).to_csv("de.csv", sep=";", index=False, encoding="utf-16-le")
    written = {"decimal": "comma", "encoding": "utf-16-le"}
    assert run.evaluate("de.csv", **written) == expected
    options = [f"data.{key}={value}" for key, value in written.items()]
    assert tool(tools.evaluate, "run=run", "data.path=de.csv", *options, "data.missing=['.']")[::2] == (0, "")
    code, _, err = tool(tools.evaluate, "run=run", "data.path=de.csv", "data.encoding=utf-16-le")
    assert (code, err.endswith("correct the cell, or read decimal commas with data.decimal=comma.\n")) == (3, True)
    for wrong in ("data.decimal=x", "data.header=perhaps", "data.missing=[", "strict=perhaps", "data.separator=ab"):
        code, out, err = tool(tools.predict, "run=run", "data.path=de.csv", wrong)
        assert (code, out, len(err.splitlines())) == (2, "", 1), wrong
        assert err.startswith(f"nettrain: {wrong.partition('=')[0]}")
    with pytest.raises(ConfigError, match="decimals: there is no such option; tables are read with header, separator,"):
        run.predict(TABLE, decimals="comma")


def test_a_run_reads_new_tables_as_it_read_its_own(here):
    german = TABLE.assign(x=[str(x).replace(".", ",") for x in X])
    written = {"sep": ";", "encoding": "latin-1", "header": False}
    named = german.assign(b=np.where(B, "größer", "kleiner"))
    run = train(named, "data.target=3", "data.decimal=comma", "data.encoding=latin-1", "data.header=false", "epochs=5",
                **written)  # fmt: skip
    new = named[::-1]
    new.to_csv("new.csv", index=False, **written)
    assert run.evaluate("new.csv") == pytest.approx(run.evaluate("t.csv"))
    reverse = run.predict("t.csv")["prediction"].tolist()[::-1]
    assert nettrain.Run("run").predict("new.csv")["prediction"].tolist() == reverse


def test_rows_without_a_target_are_left_out_in_training_and_in_evaluation(here):
    gaps = TABLE.assign(y=TABLE.y.where(np.arange(N) % 3 > 0))
    with pytest.raises(DataError, match=r"the target is missing .in 80 of 240 rows"):
        train(gaps)
    run = train(gaps, "data.drop_missing_target=true", "epochs=5")
    assert len(run.data.y) == 160
    assert run.evaluate(gaps) == run.evaluate(gaps.dropna())
    assert len(run.predict(gaps)) == 240


def test_formulas_in_class_names_can_be_escaped(here, tool):
    names = ["=1+1", "-2", "@x", "+y", "plain"]
    table = pd.DataFrame({"x": np.arange(N) % 5 * 1.0, "y": [names[i % 5] for i in range(N)]})
    run = train(table, "epochs=60")
    assert set(run.predict(table)["prediction"]) == set(names)
    for escape in ("false", "true"):
        assert tool(tools.predict, "run=run", "data.path=t.csv", "output=p.csv", f"escape={escape}")[0] == 0
        written = set(pd.read_csv("p.csv", dtype=str)["prediction"])
        assert written == ({"'=1+1", "'-2", "'@x", "'+y", "plain"} if escape == "true" else set(names))


def test_a_run_of_an_earlier_version_is_read_and_goes_on(run):
    """Its encoder knew neither ranges nor options, and its config had no such keys."""
    for path in Path("run/checkpoints").glob("*.pt"):
        content = load_checkpoint(path)
        state = json.loads(content["encoder"])
        del state["options"], state["target_unit"]
        for column in state["columns"]:
            for name in ("low", "high", "unit", "constant"):
                column.pop(name, None)
        for key in NEW_KEYS:
            del content["config"]["data"][key]
        save_checkpoint(path, {**content, "encoder": json.dumps(state)})
    config = Path("run/.hydra/config.yaml")
    kept = [line for line in config.read_text().splitlines() if line.split(":")[0].strip() not in NEW_KEYS]
    config.write_text("\n".join(kept))
    shutil.copytree("run", "copy")
    old = nettrain.Run("copy")
    assert old.evaluate(TABLE.assign(b=B.astype(int))) == run.evaluate(TABLE)
    assert "confusion" in old.figures
    longer = nettrain.train(["resume=copy", "epochs=15"])
    straight = train(TABLE, "epochs=15", folder="straight")
    assert longer.metrics.drop(columns="seconds").equals(straight.metrics.drop(columns="seconds"))
    for name, weights in torch.load("straight/checkpoints/last.pt", weights_only=True)["model"].items():
        assert torch.equal(weights, torch.load("copy/checkpoints/last.pt", weights_only=True)["model"][name])


def test_figures_of_predictions_need_the_data_of_the_training(run):
    assert "confusion" in nettrain.Run("run").figures
    TABLE.assign(x=X[::-1]).to_csv("t.csv", index=False)
    changed = nettrain.Run("run")
    with pytest.raises(DataError, match=r"t\.csv: these are not the data that the run in run was trained on"):
        changed.data  # noqa: B018
    assert "loss" in changed.figures
    assert "confusion" not in changed.figures


def test_a_warning_goes_to_stderr_and_predictions_to_stdout_s_file(run):
    """In a process of its own, as people call it."""
    TABLE.assign(b="maybe").to_csv("new.csv", index=False)
    code = "from nettrain.app.tools import predict; predict()"
    ended = subprocess.run([sys.executable, "-c", code, "run=run", "data.path=new.csv"], capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stdout.startswith("240 predictions in ")
    assert len(ended.stderr.splitlines()) == 1


def test_columns_of_the_table_are_copied_beside_the_predictions(run, tool):
    ids = [f"{i:05d}" for i in range(N)]
    TABLE.assign(**{"2020_01": ids, "größe, in cm": "=1+1", "empty": ""}).to_csv("n.csv", index=False)
    code, _, err = tool(tools.predict, "run=run", "data.path=n.csv", 'keep=[2020_01, "größe, in cm", empty, x]')
    assert (code, err) == (0, "")
    written = pd.read_csv("run/predictions.csv", dtype=str, keep_default_na=False)
    assert list(written)[:5] == ["2020_01", "größe, in cm", "empty", "x", "prediction"]
    assert written["2020_01"].tolist() == ids
    assert written["x"].tolist() == [str(x) for x in X]
    assert set(written["empty"]) == {""}
    plain = run.predict("n.csv")
    assert written["prediction"].tolist() == plain["prediction"].tolist()
    assert tool(tools.predict, "run=run", "data.path=n.csv", "keep=größe, in cm", "escape=true")[0] == 0
    assert set(pd.read_csv("run/predictions.csv")["größe, in cm"]) == {"'=1+1"}
    assert tool(tools.predict, "run=run", "data.path=n.csv", "keep=[x]", "escape=true")[0] == 0
    assert pd.read_csv("run/predictions.csv")["x"].tolist() == X.tolist()  # -0.5 is no formula


def test_columns_of_a_dataframe_are_copied_with_their_types(run):
    table = TABLE.assign(id=range(N), day=pd.Timestamp("2026-01-02")).set_index(pd.Index(range(5, 5 + N), name="row"))
    predicted = run.predict(table, keep=["id", "day", "row"])
    pd.testing.assert_frame_equal(predicted[["id", "day"]], table[["id", "day"]], check_dtype=False)
    assert predicted["row"].tolist() == table.index.tolist()
    assert predicted["id"].dtype == "int64"
    assert run.predict(table, keep="id").columns[0] == "id"


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (
            "keep=[nothing]",
            "n.csv: there is no column 'nothing', which keep names; the columns are x, b, y, id, prediction.",
        ),
        ("keep=[prediction]", "keep=prediction: predictions have a column of this name"),
        ("keep={a: b}", "keep={a: b}: it must be a list of column names, such as keep=[id]."),
        ("keep=[a", "keep=[a: it must be a list of column names, such as keep=[id]."),
    ],
)
def test_columns_that_cannot_be_copied(run, tool, keep, message):
    TABLE.assign(id=1, prediction=2).to_csv("n.csv", index=False)
    code, out, err = tool(tools.predict, "run=run", "data.path=n.csv", keep)
    assert (code in (2, 3), out) == (True, "")
    assert err.startswith(f"nettrain: {message}")
    assert not Path("run/predictions.csv").exists()


def test_counts_are_trained_in_their_own_units_and_refused_where_they_are_none(here):
    mean = np.exp(0.5 * X)
    table = pd.DataFrame({"x": X, "y": np.random.default_rng(1).poisson(mean)})
    options = ["head=poisson", "data.task=regression", "epochs=200", "model=linear"]
    run = train(table, *options)
    predicted = run.predict(table.head(100), interval=0.9)
    np.testing.assert_allclose(predicted["prediction"], mean[:100], rtol=0.35)
    assert (predicted[["lower", "upper"]] % 1 == 0).all(axis=None)
    assert run.encoder.target_scale == 1
    for broken, shown in ((-1, "-1"), (1.5, "1.5")):
        table = table.astype(float)
        table.loc[7, "y"] = broken
        wrong = f"t.csv, row 9, column 'y': found {shown}; head=poisson takes whole numbers of at least 0."
        with pytest.raises(DataError, match=re.escape(wrong)):
            train(table, *options, folder="wrong")
        with pytest.raises(DataError, match=re.escape(wrong)):
            run.evaluate("t.csv")


def test_counts_that_were_taken_for_classes_are_said_to_be_numbers_for_the_asking(here):
    table = pd.DataFrame({"x": X, "y": np.arange(N) % 4})
    with pytest.raises(ConfigError, match=r"4 classes; use head=softmax_ce or data.task=regression"):
        train(table, "head=poisson")


def test_quantiles_and_intervals_are_written_and_cover_what_they_say(here, tool):
    table = pd.DataFrame({"x": X, "y": 100 + X + (1 + X**2) * np.random.default_rng(1).normal(size=N)})
    run = train(table, "head=quantile", "epochs=60", "head.levels=[0.1,0.5,0.9]")
    assert tool(tools.predict, f"run={run.folder}", "data.path=t.csv", "output=p.csv", "interval=0.8")[0] == 0
    written = pd.read_csv("p.csv")
    assert list(written) == ["prediction", "quantile_0.1", "quantile_0.5", "quantile_0.9", "lower", "upper"]
    inside = (written["lower"] <= table["y"]) & (table["y"] <= written["upper"])
    assert 0.7 < inside.mean() < 0.9
    assert run.evaluate(table)["coverage"] == pytest.approx(inside.mean())
    code, _, error = tool(tools.predict, f"run={run.folder}", "data.path=t.csv", "interval=0.5")
    assert (code, "it lies between the levels 0.25,0.75" in error) == (2, True)
    code, _, error = tool(tools.predict, f"run={run.folder}", "data.path=t.csv", "interval=2")
    assert (code, error) == (2, "nettrain: interval=2.0: it must be greater than 0 and less than 1.\n")


def test_an_interval_is_for_numbers_and_for_heads_that_fit_a_spread(run):
    with pytest.raises(ConfigError, match=r"interval=0.9: the run in .* predicts classes, not numbers"):
        run.predict(TABLE, interval=0.9)
    numbers = train(pd.DataFrame({"x": X, "y": 2 * X}), "epochs=1", folder="numbers")
    with pytest.raises(ConfigError, match="head=identity_mse fits no spread"):
        numbers.predict(TABLE, interval=0.9)


def test_ordered_classes_have_the_order_that_was_given(here):
    names = np.array(["low", "medium", "high"])[np.digitize(X, [-0.5, 0.5])]
    table = pd.DataFrame({"x": X, "y": names})
    run = train(table, "head=ordinal", "data.order=[low,medium,high]", "epochs=100", "model=linear", "optimizer.lr=0.1")
    assert run.encoder.classes == ["low", "medium", "high"]
    assert run.evaluate(table)["accuracy"] > 0.9
    assert list(run.predict(table)) == ["prediction", "probability_low", "probability_medium", "probability_high"]
    assert run.evaluate(table)["mae"] < 0.1


@pytest.fixture
def in_parts(monkeypatch):
    """Every Parquet file is a large one, and read 20 rows at a time."""
    monkeypatch.setattr(new_tables, "LARGE", 0)
    monkeypatch.setattr(new_tables, "NUMBERS", 60)


def test_large_parquet_files_are_predicted_in_parts_as_a_whole_is(run, tool, in_parts):
    odd = pd.array([None if i % 50 == 7 else 2**53 + i for i in range(N)], dtype="Int64")
    new = TABLE.assign(
        id=odd, x=np.where(np.arange(N) % 100 == 99, 1e3, X), b=np.where(np.arange(N) % 90 == 50, "huh", B)
    )
    Path("new").mkdir()
    for name, rows in (("a", slice(0, 130)), ("b", slice(130, N))):
        new[rows].to_parquet(f"new/{name}.parquet", row_group_size=50)
    new.to_csv("new.csv", index=False)
    code, out, said = tool(tools.predict, "run=run", "data.path=new", "keep=[id]", "output=parts.csv")
    assert (code, out) == (0, f"{N} predictions in parts.csv\n")
    assert tool(tools.predict, "run=run", "data.path=new.csv", "keep=[id]", "output=whole.csv")[0] == 0
    parts, whole = pd.read_csv("parts.csv", dtype={"id": str}), pd.read_csv("whole.csv", dtype={"id": str})
    pd.testing.assert_frame_equal(parts, whole, rtol=1e-5)
    unknown, far = said.splitlines()
    assert "range of the training" in far
    assert far.endswith(": 2 of 240 values (0.83 %), such as 1000 in row 100.")
    assert unknown.endswith("no category of the training: 3 of 240 values (1.2 %), such as 'huh' in row 51.")
    assert run.predict("new").equals(pd.concat(run.predict_in_parts("new"), ignore_index=True))


def test_a_mistake_far_down_a_large_file_leaves_no_predictions(run, tool, in_parts):
    new = TABLE.assign(x=np.where(np.arange(N) == 200, np.inf, X))
    new.to_parquet("new.parquet")
    Path("p.csv").write_text("as it was")
    code, out, err = tool(tools.predict, "run=run", "data.path=new.parquet", "output=p.csv")
    assert (code, out) == (3, "")
    assert "new.parquet, row 201, column 'x': found inf" in err
    new = TABLE.assign(b=np.where(np.arange(N) == 3, "huh", B))
    new.to_parquet("new.parquet")
    code, out, err = tool(tools.predict, "run=run", "data.path=new.parquet", "output=p.csv", "strict=true")
    assert code == 3
    assert "1 of 240 values" in err
    assert Path("p.csv").read_text() == "as it was"
    assert not [path for path in Path().iterdir() if "tmp" in path.name]
    TABLE.drop(columns="x").to_parquet("new.parquet")
    assert tool(tools.predict, "run=run", "data.path=new.parquet")[2].startswith(
        "nettrain: new.parquet: there is no column 'x', which the model was trained with; the columns are b, y."
    )
