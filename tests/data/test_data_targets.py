"""Several targets of a table: numbers or labels, how rows are shared out, and what is refused, in one sentence each."""

import json

import numpy as np
import pandas as pd
import pytest

import nettrain
from nettrain.data import Npz, load
from nettrain.data.encoding import Encoder
from nettrain.data.label_splits import label_folds, split_labels
from nettrain.data.members import with_members
from nettrain.data.sources import Csv
from nettrain.data.splitting import ByColumn, Fold, Stratified
from nettrain.errors import ConfigError, DataError


@pytest.fixture
def table(here):
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.normal(size=(60, 4)).round(3), columns=["x", "z", "low", "high"])
    table["rain"], table["sun"] = draw.integers(0, 2, 60), draw.choice(["yes", "no"], 60)
    table["kind"] = draw.choice(["a", "b", "c"], 60)
    table.to_csv("t.csv", index=False)
    return table


def of(*target, **options):
    return load(Csv(path="t.csv", target=list(target), drop=options.pop("drop", ["kind"]), **options), 0)


def test_numbers_are_standardised_each_by_itself(table):
    data = of("low", "high")
    train = data.splits["train"]
    assert data.encoder.task == "regression"
    assert data.encoder.feature_names[:2] == ["x", "z"]
    expected = table[["low", "high"]].to_numpy()
    np.testing.assert_allclose(data.y[train].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(data.y[train].std(0), 1)
    np.testing.assert_allclose(data.encoder.in_units(data.y), expected)
    alone = load(Csv(path="t.csv", target="high", drop=["low", "kind"]), 0)
    np.testing.assert_array_equal(data.y[:, 1], alone.y)


def test_truth_values_are_labels(table):
    data = of("rain", "sun")
    assert (data.encoder.task, data.encoder.targets) == ("multilabel", ["rain", "sun"])
    np.testing.assert_array_equal(data.y, np.stack([table["rain"], table["sun"] == "yes"], axis=1))
    as_numbers = of("rain", "low", task="regression")
    assert as_numbers.encoder.task == "regression"


def test_a_list_of_one_target_is_that_target(table):
    assert of("low").y.shape == (60,)


def test_an_encoder_reads_the_targets_of_a_new_table_after_it_was_saved(table):
    encoder = Encoder.from_state(of("rain", "sun").encoder.state)
    new = table.drop(columns="kind").iloc[::-1].replace({"yes": "TRUE", "no": "false"})
    np.testing.assert_array_equal(encoder.read(new, True).target, np.stack([new["rain"], new["sun"] == "TRUE"], 1))
    with pytest.raises(DataError, match="there is no column 'sun', which is a target"):
        encoder.read(new.drop(columns="sun"), True)
    with pytest.raises(DataError, match=r"row 3, column 'rain': found '7'; a label is 1 in the rows that have it"):
        encoder.read(new.assign(rain=np.where(np.arange(60) == 2, 7, 1)), True)


def test_an_encoder_of_one_target_has_the_state_that_it_had(table):
    assert "targets" not in json.loads(of("low").encoder.state)


def test_arrays_of_several_targets_are_numbered(here):
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.random.default_rng(1).normal(size=(40, 2))
    np.savez("a.npz", x=x, y=y)
    data = load(Npz(path="a.npz"), 0)
    assert data.encoder.targets == ["y0", "y1"]
    run = nettrain.train("epochs=1 quiet=true figures=never", "run", data=(x, y))
    assert list(run.predict(x).columns) == ["prediction_y0", "prediction_y1"]
    by_file = run.evaluate("a.npz")
    assert by_file == run.evaluate((x, y)) == run.evaluate({"x": x, "y": y})
    np.savez("b.npz", x=x, low=y[:, 0], high=y[:, 1])
    named = load(Npz(path="b.npz", target=["low", "high"]), 0)
    assert named.encoder.targets == ["low", "high"]
    np.testing.assert_array_equal(named.y, data.y)


def test_images_have_labels_too(here):
    x, y = np.random.default_rng(0).integers(0, 255, (40, 1, 6, 6)).astype(np.uint8), np.arange(80).reshape(40, 2) % 3
    run = nettrain.train("epochs=1 quiet=true figures=never", "run", data=(x, (y > 0).astype(int)))
    assert run.encoder.task == "multilabel"
    assert len(run.predict(x)) == 40


@pytest.mark.parametrize("seed", range(3))
def test_each_split_has_its_share_of_every_label(seed):
    labels = (np.random.default_rng(seed).random((400, 6)) < [0.02, 0.05, 0.1, 0.2, 0.4, 0.8]).astype(int)
    rows = split_labels(labels, 0.15, 0.2, seed)
    assert [len(rows[name]) for name in ("train", "val", "test")] == [260, 60, 80]
    assert np.array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(400))
    for name, share in (("val", 0.15), ("test", 0.2)):
        assert np.abs(labels[rows[name]].sum(0) - share * labels.sum(0)).max() < 1.5
    fold = label_folds(labels, 5, seed)
    assert set(np.bincount(fold)) == {80}
    for i in range(5):
        assert np.abs(labels[fold == i].sum(0) - labels.sum(0) / 5).max() < 1.5
    assert not np.array_equal(fold, label_folds(labels, 5, seed + 1))


def test_folds_of_labels_divide_the_rows(table):
    folds = [load(Csv(path="t.csv", target=["rain", "sun"], drop=["kind"]), 0, Fold(fold=i)) for i in range(5)]
    val = np.concatenate([data.splits["val"] for data in folds])
    assert np.array_equal(np.sort(np.concatenate([val, folds[0].splits["test"]])), np.arange(60))
    for data in folds:
        assert abs(data.y[data.splits["val"], 0].sum() - data.y[val, 0].sum() / 5) < 1.5


def test_a_label_that_no_training_row_has_is_said(here):
    table = pd.DataFrame(
        {"x": np.arange(20.0), "a": np.arange(20) % 2, "b": [0] * 19 + [1], "s": ["train"] * 17 + ["val"] * 3}
    )
    table.to_csv("t.csv", index=False)
    data = load(Csv(path="t.csv", target=["a", "b"], test_fraction=0), 0, ByColumn(column="s"))
    assert "no training row has the label 'b': it cannot be learnt" in data.notes


BAD = [
    ("twice", ["low", "low"], {}, "data.target=[low, low]: it names 'low' twice; name it once."),
    ("none", [], {}, "data.target=[]: it must be the name of a column, or a list of such, [a,b]."),
    (
        "not there",
        ["low", "hihg"],
        {},
        "t.csv: there is no column 'hihg' (did you mean 'high'?), which data.target names; the columns are x, z, low, "
        "high, rain, sun.",
    ),
    (
        "a label beside a number",
        ["low", "rain"],
        {},
        "t.csv: the target 'rain' is a label, with two truth values alone, and 'low' has numbers; train labels and "
        "numbers in two runs, or take all as numbers with data.task=regression.",
    ),
    (
        "a class beside a number",
        ["low", "kind"],
        {"drop": []},
        "t.csv, row 2, column 'kind': found '{kind}'; several targets are all numbers, or all labels of 0 and 1; a "
        "column of classes is a target by itself.",
    ),
    (
        "a text where a number is needed",
        ["low", "kind"],
        {"drop": [], "task": "regression"},
        "t.csv, row 2, column 'kind': found '{kind}', which is no number; correct the cell.",
    ),
    (
        "no label",
        ["rain", "low"],
        {"task": "multilabel"},
        "t.csv, row 2, column 'low': found '{low}'; a label is 1 in the rows that have it, and 0 in the others.",
    ),
    (
        "a task of one target",
        ["rain", "sun"],
        {"task": "binary"},
        "data.task=binary: there are 2 targets, rain, sun; several are labels of 0 and 1, data.task=multilabel, or "
        "numbers, data.task=regression.",
    ),
    (
        "also dropped",
        ["low", "high"],
        {"drop": ["high"]},
        "t.csv: data.drop names the target 'high'; it is for the other columns.",
    ),
    (
        "also a category",
        ["low", "high"],
        {"categorical": ["low"]},
        "t.csv: data.categorical names the target 'low'; it is for the other columns.",
    ),
    (
        "also a weight",
        ["low", "high"],
        {"weight": "high"},
        "t.csv: data.weight names the target 'high'; it is for another column.",
    ),
]


@pytest.mark.parametrize(("target", "options", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_targets_are_refused_with_one_sentence(table, target, options, message):
    with pytest.raises((ConfigError, DataError)) as error:
        of(*target, **options)
    assert str(error.value) == message.replace("{kind}", table["kind"][0]).replace("{low}", str(table["low"][0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"high": None},
            "t.csv, row 9, column 'high': the target is missing (in 1 of 60 rows); fill it in, or leave such rows out "
            "with data.drop_missing_target=true.",
        ),
        (
            {"low": np.inf},
            "t.csv, row 9, column 'low': found inf; numbers must be finite and below 1e+37; correct the cell.",
        ),
    ],
)
def test_a_bad_cell_of_a_target_is_named(table, change, message):
    for name, value in change.items():
        table.loc[7, name] = value
    table.to_csv("t.csv", index=False)
    with pytest.raises(DataError) as error:
        of("low", "high")
    assert str(error.value) == message


def test_rows_without_one_of_the_targets_can_be_left_out(table):
    table.loc[7, "high"] = table.loc[9, "low"] = None
    table.to_csv("t.csv", index=False)
    assert len(of("low", "high", drop_missing_target=True).y) == 58


def test_a_label_in_no_row_and_one_in_every_row(table):
    for value in (0, 1):
        table.assign(rain=value).to_csv("t.csv", index=False)
        with pytest.raises(DataError, match=rf"t\.csv, column 'rain': every row has {value}, so that nothing can be"):
            of("rain", "sun")


def test_a_table_that_is_read_in_parts_has_one_target(table):
    table.to_parquet("t.parquet")
    with pytest.raises(ConfigError, match=r"data.target=\[low, high\]: a table that is read in parts has one target"):
        load(Csv(path="t.parquet", target=["low", "high"], stream=True, drop=["kind"]), 0)


@pytest.fixture
def films(here):
    draw = np.random.default_rng(0)
    names = np.array(["comedy", "crime", "drama"])
    there = draw.integers(0, 2, (40, 3))
    cells = ["; ".join(names[row == 1]) for row in there]
    table = pd.DataFrame({"x": draw.normal(size=40), "genres": cells})
    table.to_csv("t.csv", index=False)
    return table, there


def test_labels_in_the_cells_of_one_column(films):
    table, there = films
    data = load(Csv(path="t.csv", target="genres", task="multilabel"), 0)
    assert data.encoder.targets == ["comedy", "crime", "drama"]
    np.testing.assert_array_equal(data.y, there)
    encoder = Encoder.from_state(data.encoder.state)
    lists = pd.DataFrame(
        {"x": table["x"], "genres": [[name for name in cell.split("; ") if name] for cell in table["genres"]]}
    )
    np.testing.assert_array_equal(encoder.read(lists, True).target, there)
    with pytest.raises(
        DataError, match=r"row 2, column 'genres': found the label 'opera'; the model's labels are comedy,"
    ):
        encoder.read(pd.DataFrame({"x": [1.0, 2.0], "genres": ["crime", "drama;opera"]}), True)
    lists.to_parquet("t.parquet")
    by_list = load(Csv(path="t.parquet", target="genres", task="multilabel"), 0)
    np.testing.assert_array_equal(by_list.y, there)


def test_a_run_of_labels_in_one_column_predicts_a_column_for_each(films):
    table, _ = films
    table.assign(genres=table["genres"].str.replace("; ", "|")).to_csv("t.csv", index=False)
    words = "data=csv recipe=plain data.path=t.csv data.target=genres epochs=1 quiet=true"
    words += " data.task=multilabel data.label_separator=|"
    run = nettrain.train([*words.split(), "figures=never"], "run")
    assert [name for name in run.predict("t.csv") if name.startswith("prediction")] == [
        *("prediction_comedy", "prediction_crime", "prediction_drama"),
    ]
    assert run.evaluate("t.csv")["loss"] > 0


@pytest.mark.parametrize(
    ("cells", "separator", "message"),
    [
        ([""] * 40, ";", "t.csv, column 'genres': no row has a label; data.task=multilabel needs cells such as a;b."),
        (
            ["a", "a;b"] * 20,
            ";",
            "t.csv, column 'genres': every row has the label 'a', so that nothing can be learnt of it.",
        ),
        (
            [0, 1] * 20,
            ";",
            "data.task=multilabel: the one target, 'genres', has numbers; name a column of 0 and 1 for each label, "
            "data.target=[a,b], or one of texts such as a;b.",
        ),
        (["a", "b"] * 20, "", "data.label_separator=: it must be a sign, such as data.label_separator=';'."),
    ],
)
def test_bad_cells_of_labels_are_refused(films, cells, separator, message):
    films[0].assign(genres=cells).to_csv("t.csv", index=False)
    with pytest.raises((ConfigError, DataError)) as error:
        load(Csv(path="t.csv", target="genres", task="multilabel", label_separator=separator), 0)
    assert str(error.value) == message


def test_members_validate_on_their_share_of_every_label(here):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=200), **{f"l{i}": (draw.random(200) < 0.2 * i) * 1 for i in (1, 2, 3)}})
    frame.to_csv("t.csv", index=False)
    settings = Csv(path="t.csv", target=["l1", "l2", "l3"], task="multilabel")
    data = load(settings, 0)
    members = with_members(data, settings, Stratified(), 0, 4, folds=False)
    validating = [member["val"] for member in members.members]
    assert len({tuple(rows) for rows in validating}) == 4
    for rows in validating:
        expected = data.y[~np.isin(np.arange(200), data.splits["test"])].mean(0) * len(rows)
        assert np.abs(data.y[rows].sum(0) - expected).max() < 1.5
