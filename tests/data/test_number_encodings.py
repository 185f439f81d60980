"""Numbers encoded as piecewise, quantile or robust: closed forms, scikit-learn, odd columns, and new tables."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.datasets import load_iris
from sklearn.preprocessing import QuantileTransformer
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import nettrain
from nettrain.data import Encoder, Table, load, sources
from nettrain.data.encoded_columns import Numeric
from nettrain.data.encoded_numbers import Piecewise
from nettrain.data.number_options import NumberOptions
from nettrain.errors import ConfigError, DataError

DRAW = np.random.default_rng(0)
N = 900
COLUMNS = {
    "normal": DRAW.normal(50, 3, N),
    "heavy": np.exp(DRAW.normal(0, 2, N)),
    "zeros": np.where(DRAW.random(N) < 0.6, 0.0, DRAW.exponential(2, N)),
    "few": DRAW.integers(0, 5, N).astype(float),
    "gaps": np.where(DRAW.random(N) < 0.3, np.nan, DRAW.normal(size=N)),
    "truth": DRAW.integers(0, 2, N).astype(float),
}
ROWS = np.sort(DRAW.permutation(N)[:600])
CLASSES = ["a", "b", "c"]


def made_table(columns=COLUMNS, classes=False) -> Table:
    first = np.nan_to_num(next(iter(columns.values())))
    target = np.searchsorted([48.0, 52.0], first) if classes else np.sin(first) + 0.1 * first
    task, names = ("multiclass", CLASSES) if classes else ("regression", [])
    return Table(columns, target, "y", task, names, "made up")


def fitted(table: Table, rows=ROWS, standardize=True, **options) -> Encoder:
    return Encoder.fit(table, rows, standardize, NumberOptions(**options))


def by_name(encoder: Encoder, table: Table) -> dict[str, np.ndarray]:
    return dict(zip(encoder.feature_names, encoder.features(table).T, strict=True))


@pytest.mark.parametrize("name", ["normal", "heavy", "zeros", "few"])
def test_bins_are_piecewise_linear_between_the_quantiles_of_the_training_rows(name):
    table = made_table({name: COLUMNS[name]})
    encoder, x = fitted(table, numbers="piecewise", bins=8), COLUMNS[name]
    features = encoder.features(table)
    edges = sorted(set(np.percentile(x[ROWS], [0, 12.5, 25, 37.5, 50, 62.5, 75, 87.5, 100])))
    np.testing.assert_allclose(features[:, 0], (x - x[ROWS].mean()) / x[ROWS].std(), atol=1e-9)
    for t, (low, high) in enumerate(pairwise(edges)):
        expected = [0.0 if v < low else 1.0 if v >= high else (v - low) / (high - low) for v in x]
        np.testing.assert_allclose(features[:, t + 1], expected, atol=1e-9)
    assert 1 <= len(edges) - 1 <= features.shape[1] - 1


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("name", ["normal", "heavy", "gaps"])
def test_bins_of_a_tree_end_where_scikit_learns_does(name, classes):
    x = COLUMNS[name]
    table = made_table({"normal": COLUMNS["normal"], name: x} if name != "normal" else {"normal": x}, classes)
    encoder = fitted(table, numbers="piecewise", bins=7, binning="tree")
    (column,) = [column for column in encoder.scalars if column.name == name]
    rows = ROWS[~np.isnan(x[ROWS])]
    tree = (DecisionTreeClassifier if classes else DecisionTreeRegressor)(
        max_leaf_nodes=7, min_samples_leaf=max(5, len(rows) // 100), random_state=0
    )
    tree.fit(x[rows, None], table.target[rows])
    thresholds = np.sort(tree.tree_.threshold[tree.tree_.children_left >= 0])
    np.testing.assert_allclose(np.unique(column.edges), [x[rows].min(), *thresholds, x[rows].max()], rtol=1e-5)


@pytest.mark.parametrize("name", ["normal", "heavy", "zeros", "few"])
def test_quantiles_are_those_of_scikit_learn(name):
    x = COLUMNS[name]
    table = made_table({name: x})
    new = np.concatenate([x, [x.min() - 9, x.max() + 9, np.median(x)]])
    encoder = fitted(table, numbers="quantile")
    ours = encoder.columns[0].features(new)
    theirs = QuantileTransformer(n_quantiles=20, output_distribution="normal").fit(x[ROWS, None])
    inside = ((new > x[ROWS].min()) & (new < x[ROWS].max()))[:, None]
    np.testing.assert_allclose(ours[inside], theirs.transform(new[:, None])[inside], atol=1e-6)
    bound = -norm.ppf(1e-7)
    assert abs(ours).max() == pytest.approx(bound)
    assert (np.diff(ours[np.argsort(new), 0]) >= 0).all()


def test_robust_numbers_are_scaled_by_their_quartiles_and_clipped_smoothly():
    features = by_name(fitted(made_table(), numbers="robust"), made_table())
    for name in ("normal", "heavy", "zeros", "few"):
        train = COLUMNS[name][ROWS]
        first, middle, third = np.percentile(train, [25, 50, 75])
        t = (COLUMNS[name] - middle) / (third - first)
        np.testing.assert_allclose(features[name], t / np.sqrt(1 + (t / 3) ** 2), rtol=1e-9, atol=1e-12)
        assert abs(features[name]).max() < 3
    mostly = np.where(np.arange(N) % 10 < 8, 4.0, np.arange(N) / 100)
    (column,) = fitted(made_table({"mostly": mostly}), numbers="robust").columns
    t = (mostly - 4) / (np.ptp(mostly[ROWS]) / 2)  # its quartiles are one number
    np.testing.assert_allclose(column.features(mostly)[:, 0], t / np.sqrt(1 + (t / 3) ** 2), rtol=1e-9, atol=1e-12)


def test_missing_numbers_are_encoded_as_the_median_and_marked():
    for encoding in ("piecewise", "quantile", "robust"):
        table = made_table({"gaps": COLUMNS["gaps"]})
        encoder, x = fitted(table, numbers=encoding), COLUMNS["gaps"]
        features = by_name(encoder, table)
        median = encoder.columns[0].features(np.array([np.nanmedian(x[ROWS])]))[0]
        np.testing.assert_array_equal(features.pop("gaps missing"), np.isnan(x))
        expected = np.delete(median, encoder.feature_names.index("gaps missing"))
        missing = np.stack(list(features.values()), axis=1)[np.isnan(x)]
        np.testing.assert_allclose(missing, np.tile(expected, (len(missing), 1)))


def test_columns_of_one_or_two_numbers_have_no_bins_and_wide_tables_few():
    table = made_table({"truth": COLUMNS["truth"], "one": np.full(N, 3.0), "normal": COLUMNS["normal"]})
    names = fitted(table, numbers="piecewise").feature_names
    assert names == ["truth", "one", "normal", *(f"normal bin {i}" for i in range(1, 17))]
    wide = made_table({f"x{i}": DRAW.normal(size=N) for i in range(400)})
    assert len(fitted(wide, numbers="piecewise").feature_names) == 400 * (1 + 5)
    wider = made_table({f"x{i}": DRAW.normal(size=N) for i in range(1500)})
    assert len(fitted(wider, numbers="piecewise", bins=9).feature_names) == 1500 * (1 + 2)


def test_each_split_of_a_table_has_as_many_features_and_learns_from_its_training_rows():
    table, other = made_table(), made_table({name: x.copy() for name, x in COLUMNS.items()})
    outside = np.setdiff1d(np.arange(N), ROWS)
    for name in ("normal", "heavy"):
        other.columns[name][outside] = 1e6 + np.arange(len(outside))
    for encoding in ("piecewise", "quantile", "robust"):
        assert fitted(table, numbers=encoding) == fitted(other, numbers=encoding)
        assert fitted(table, numbers=encoding) != fitted(table, outside, numbers=encoding)
    for binning in ("quantile", "tree"):
        seeds = [np.sort(np.random.default_rng(seed).permutation(N)[:40]) for seed in range(20)]
        names = {tuple(fitted(table, rows, numbers="piecewise", binning=binning).feature_names) for rows in seeds}
        assert len(names) == 1


NUMBERS = st.floats(-1e30, 1e30) | st.just(np.nan) | st.sampled_from([0.0, 1.0, 5e-324, 1e-300, 1 + 2**-52, 1e30])


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=40),
    st.sampled_from(["piecewise", "quantile", "robust"]),
    st.integers(2, 20),
    st.sampled_from(["quantile", "tree"]),
)
@example([(0.0, 0.0)] * 3 + [(1.0, 0.0), (5e-324, 0.0), (np.nan, 0.0)], "robust", 2, "quantile")
def test_whatever_numbers_become_finite_features_that_survive_storage_and_keep_their_order(rows, encoding, bins, where):
    x, y = (np.array(values) for values in zip(*rows, strict=True))
    table = Table({"x": x}, np.nan_to_num(y), "y", "regression", [], "made up")
    encoder = fitted(table, np.arange(len(x) - 1), numbers=encoding, bins=bins, binning=where)
    features = encoder.features(table)
    assert np.isfinite(features).all()
    assert features.shape[1] == len(encoder.feature_names) == len(set(encoder.feature_names))
    loaded = Encoder.from_state(encoder.state)
    assert loaded == encoder
    np.testing.assert_array_equal(loaded.features(table), features)
    ascending = [i for i, name in enumerate(encoder.feature_names) if not name.endswith("missing")]
    order = np.argsort(x)[: np.isfinite(x).sum()]
    # Interpolation and the clip round.
    assert (np.diff(features[order][:, ascending], axis=0) >= -1e-6).all()


def test_standard_numbers_are_what_they_always_were():
    table = made_table()
    encoder = fitted(table)
    assert encoder.state == Encoder.fit(table, ROWS, True).state
    assert all(type(column) is Numeric for column in encoder.columns)


def iris_csv(tmp_path) -> str:
    iris = load_iris(as_frame=True)
    frame = iris.data.set_axis(["a", "b", "c", "d"], axis=1).assign(kind=iris.target_names[iris.target])
    frame.to_csv(tmp_path / "iris.csv", index=False)
    return str(tmp_path / "iris.csv")


def test_a_column_is_encoded_in_a_way_of_its_own(tmp_path):
    source = {"path": iris_csv(tmp_path), "target": "kind", "numbers": "robust"}
    plain, mixed = (
        load(sources.Csv(**source, columns=columns), seed=1).encoder
        for columns in ({}, {"a": "piecewise", "b": "standard", "d": "quantile", "c": "number"})
    )
    assert [type(column).__name__ for column in plain.columns] == ["Robust"] * 4
    assert [type(column).__name__ for column in mixed.columns] == ["Piecewise", "Numeric", "Robust", "Quantile"]
    assert mixed.columns[2] == plain.columns[2]
    alone = load(sources.Csv(**{**source, "numbers": "piecewise"}), seed=1).encoder
    assert mixed.columns[0] == alone.columns[0]


@pytest.mark.sample(3)
@pytest.mark.parametrize("numbers", ["piecewise", "quantile", "robust"])
def test_rows_of_a_stack_are_the_runs_alone_and_predict_exactly(numbers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "data=csv",
        "recipe=plain",
        f"data.path={iris_csv(tmp_path)}",
        "data.target=kind",
        f"data.numbers={numbers}",
    ]
    words += ["epochs=2", "quiet=true", "figures=never", "precision=float64", "data.bins=5"]
    rows = nettrain.sweep([*words, "seed=1,2,3"], folder=tmp_path / "sweep")
    for row in rows.runs:
        alone = nettrain.train([*words, f"seed={row.config.seed}"], folder=tmp_path / f"alone{row.config.seed}")
        assert row.summary["val_loss"] == pytest.approx(alone.summary["val_loss"], rel=1e-9)
        assert row.encoder == alone.encoder
        assert (tmp_path / "sweep" / "0").exists()
    table = pd.read_csv("iris.csv")
    again = nettrain.Run(tmp_path / "alone1")
    logits = again.model(torch.as_tensor(again.data.x))
    np.testing.assert_array_equal(
        again.predict(table)["probability_setosa"], torch.softmax(logits, -1)[:, 0].detach().numpy()
    )


def test_a_table_on_disk_is_encoded_by_a_sample_of_its_training_rows(tmp_path):
    pd.DataFrame({**COLUMNS, "y": np.arange(N) % 7 + COLUMNS["heavy"]}).to_parquet(tmp_path / "t.parquet")
    source = {"path": str(tmp_path / "t.parquet"), "target": "y", "columns": {"few": "standard", "heavy": "robust"}}
    streamed = load(sources.Csv(**source, numbers="piecewise", stream=True), seed=2)
    train = streamed.splits["train"]
    table = made_table()
    alone = made_table({name: x[train] for name, x in COLUMNS.items()})
    alone.kinds = {"few": "standard", "heavy": "robust"}
    expected = fitted(alone, np.arange(len(train)), numbers="piecewise")
    assert [type(column) for column in streamed.encoder.columns] == [type(column) for column in expected.columns]
    for ours, theirs in zip(streamed.encoder.columns, expected.columns, strict=True):
        assert getattr(ours, "edges", []) == pytest.approx(getattr(theirs, "edges", []))
        assert (ours.mean, ours.scale) == pytest.approx((theirs.mean, theirs.scale))
    np.testing.assert_allclose(streamed.x[:], expected.features(table), atol=1e-9)
    with pytest.raises(
        ConfigError, match=r"data\.binning=tree: a table that is read in parts has bins at quantiles; use"
    ):
        load(sources.Csv(**source, numbers="piecewise", binning="tree", stream=True), seed=2)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["data.numbers=piecwise"],
            2,
            "data.numbers=piecwise: data.numbers must be one of standard, piecewise, quantile, robust.",
        ),
        (["data.bins=1"], 2, "data.bins=1: data.bins must be at least 2."),
        (
            ["data.columns.a=robst"],
            2,
            "data.columns={'a': 'robst'}: data.columns must be one of number, category, embedding, date, hash, "
            "drop, standard, piecewise, quantile, robust.",
        ),
        (
            ["data.columns.aa=robust"],
            3,
            "iris.csv: there is no column 'aa' (did you mean 'a'?), which data.columns names; the columns are",
        ),
        (
            ["data.target=a", "data.columns.kind=piecewise"],
            3,
            "iris.csv, row 2, column 'kind': found 'setosa', which is no number; correct the cell.",
        ),
        (
            ["data.numbers=robust", "data.standardize=false"],
            2,
            "data.standardize=false: data.numbers=robust scales numbers; use data.standardize=true, or encode them as "
            "standard or piecewise.",
        ),
        (
            ["data.columns.a=quantile", "data.standardize=false"],
            2,
            "data.standardize=false: data.columns.a=quantile scales numbers; use data.standardize=true, or",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_a_sentence(words, code, said, command, tmp_path):
    iris_csv(tmp_path)
    ended = command(
        "data=csv", "recipe=plain", "data.path=iris.csv", "data.target=kind", "epochs=1", "quiet=true", *words
    )
    assert (ended.code, ended.err.startswith(f"nettrain: {said}")) == (code, True), ended.err


def test_where_no_column_holds_numbers_that_is_said(tmp_path, command):
    iris_csv(tmp_path)
    texts = ["data=csv", "data.path=iris.csv", "data.target=kind", "data.categorical=[a,b,c,d]"]
    for source, words in {"iris.csv": texts, "digits_images": ["data=digits_images", "data.numbers=piecewise"]}.items():
        ended = command(*words, "epochs=1", "debug.samples=20")
        assert ended.code == 0, ended.err
        said = (
            f"note       data.numbers=piecewise: no column of {source} holds one number in each row, so that it changes"
        )
        assert said in ended.out


def test_the_curve_of_an_encoded_number_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for numbers in ("piecewise", "quantile"):
        run = nettrain.train(
            [
                "data=sine",
                "data.standardize=true",
                f"data.numbers={numbers}",
                "epochs=1",
                "quiet=true",
                "figures=always",
            ]
        )
        assert (run.folder / "figures" / "fitted_curve.png").exists()


def test_a_text_among_numbers_of_a_new_table_is_still_a_mistake():
    encoder = fitted(made_table(), numbers="piecewise")
    assert isinstance(encoder.columns[0], Piecewise)
    with pytest.raises(DataError, match="found 'many', which is no number"):
        encoder.read(pd.DataFrame({**COLUMNS, "normal": ["many"] * N}))
