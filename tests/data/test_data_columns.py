"""Dates, hashed texts, long numbers and kinds that somebody names: what becomes of them, and that new tables agree."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

import nettrain
from nettrain.data import Encoder, load
from nettrain.data.columns import Column
from nettrain.data.encoded_words import HashedWords
from nettrain.data.moments import find_moments
from nettrain.data.opening import open_table
from nettrain.data.read_options import ReadOptions
from nettrain.data.reading import read_table
from nettrain.data.sources import Csv
from nettrain.errors import DataError

TARGET = ["a", "b", "a", "b", "a", "b"]


def found(texts, **options):
    table = pd.DataFrame({"d": texts})
    return find_moments(Column(open_table(table, ReadOptions(**options)), "d"))


def seconds(text):
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1)).total_seconds()


WRITTEN = [
    ("2024-01-31", "2024-01-31"),
    ("2024-01-31 14:30", "2024-01-31 14:30"),
    ("2024-01-31T14:30:05.25", "2024-01-31 14:30:05.250"),
    ("2024-01-31T14:30:05Z", "2024-01-31 14:30:05"),
    ("2024-01-31 14:30:05+02:00", "2024-01-31 12:30:05"),
    ("2024-01-31 14:30:05-0530", "2024-01-31 20:00:05"),
    ("2024/1/31", "2024-01-31"),
    ("2024.01.31", "2024-01-31"),
    ("31.1.2024", "2024-01-31"),
    ("3.4.2024 7:05", "2024-04-03 07:05"),
    ("31/01/2024", "2024-01-31"),
    ("01/31/2024", "2024-01-31"),
    ("1/31/2024 2:30 PM", "2024-01-31 14:30"),
    ("1/31/2024 12:05 am", "2024-01-31 00:05"),
    ("31-Jan-2024", "2024-01-31"),
    ("31 January 2024", "2024-01-31"),
    ("Jan 31, 2024", "2024-01-31"),
    ("September 3, 2024 23:59:59", "2024-09-03 23:59:59"),
    ("1900-02-28", "1900-02-28"),
]


@pytest.mark.parametrize(("text", "iso"), WRITTEN)
def test_a_moment_is_read_however_it_is_written(text, iso):
    moments = found([text, None, text])
    np.testing.assert_array_equal(moments.values, [seconds(iso), np.nan, seconds(iso)])
    assert not moments.is_text.any()


@pytest.mark.parametrize("text", ["02/31/2024", "2024-13-01", "2024-01-31 25:00", "1/31/2024 13:00 pm", "31 Foo 2024"])
def test_what_no_calendar_has_is_no_moment(text):
    moments = found([text] + ["2024-01-30", "12/31/2024"] * 20)
    assert moments.is_text.tolist() == [True, *[False] * 40]


@pytest.mark.parametrize("text", ["12", "1.5", "31/01/24", "word", "2024-01", "1/2", "20240131", "10:30"])
def test_what_may_be_something_else_is_none(text):
    assert found([text] * 5) is None


def test_the_order_of_day_and_month_is_what_the_column_shows_or_what_is_asked_for():
    day_first, month_first = ["3/4/2024", "25/4/2024"], ["3/4/2024", "4/25/2024"]
    assert found(day_first).values[0] == seconds("2024-04-03")
    assert found(month_first).values[0] == seconds("2024-03-04")
    assert found(["3.4.2024", "1/31/2024"]).values[0] == seconds("2024-04-03")  # dots are not American
    with pytest.raises(DataError) as error:
        found(["3/4/2024", "3/4/2024", "5/6/2024"])
    assert str(error.value) == (
        "the DataFrame, row 1, column 'd': found '3/4/2024', and nothing in the column shows whether the day or the "
        "month comes first; data.dates=day_first or data.dates=month_first decides, data.categorical=[d] keeps texts."
    )
    table = pd.DataFrame(
        {"d": [f"3/{i}/2024" if i > 3 else "3/4/2024" for i in range(1, 13)], "x": range(12), "y": TARGET * 2}
    )
    for order, first in (("day_first", "2024-04-03"), ("month_first", "2024-03-04")):
        read = read_table(table, "y", options=ReadOptions(dates=order))
        assert read.columns["d"][0] == seconds(first)


def dates(n=60):
    start = datetime(2023, 11, 5, 6, 45)
    return [start + timedelta(days=9 * i, hours=i * i % 50, minutes=13 * i) for i in range(n)]


def test_the_parts_of_a_date_are_those_of_the_calendar(tmp_path):
    when = dates()
    written = [d.strftime("%d/%m/%Y %H:%M") for d in when]
    written[7] = ""
    pd.DataFrame({"at": written, "y": TARGET * 10}).to_csv(tmp_path / "t.csv", index=False)
    data = load(Csv(path=str(tmp_path / "t.csv"), target="y", standardize=False), 0)
    waves = [f"at {part} {wave}" for part in ("month", "weekday", "hour") for wave in ("sin", "cos")]
    assert data.encoder.feature_names == ["at year", *waves, "at days", "at missing"]
    row, x = 11, dict(zip(data.encoder.feature_names, data.x[11], strict=True))
    turn = 2 * np.pi
    assert x["at year"] == when[row].year
    assert x["at month sin"] == pytest.approx(np.sin(turn * (when[row].month - 1) / 12))
    assert x["at weekday cos"] == pytest.approx(np.cos(turn * when[row].weekday() / 7))
    assert x["at hour sin"] == pytest.approx(np.sin(turn * (when[row].hour + when[row].minute / 60) / 24))
    first = min(when[i] for i in data.splits["train"] if i != 7)
    assert x["at days"] == pytest.approx((when[row] - first).total_seconds() / 86400)
    assert (data.x[7, -1], data.x[:, -1].sum()) == (1, 1)
    assert dict(zip(data.encoder.feature_names, data.x[7], strict=True))["at days"] in data.x[data.splits["train"], -2]


def test_the_year_and_the_days_are_standardised_on_the_training_rows(tmp_path):
    when = [datetime(2000 + i, 1 + i % 12, 3) for i in range(24)]
    pd.DataFrame({"at": when, "y": TARGET * 4}).to_parquet(tmp_path / "t.parquet")
    data = load(Csv(path=str(tmp_path / "t.parquet"), target="y"), 0)
    assert "at hour sin" not in data.encoder.feature_names
    for name in ("at year", "at days"):
        values = data.x[data.splits["train"], data.encoder.feature_names.index(name)]
        assert [values.mean(), values.std()] == pytest.approx([0, 1], abs=1e-12)


def test_a_new_table_has_the_same_features_however_its_dates_are_written(tmp_path):
    when = dates()
    texts = [f"word{i} of {'red' if i % 2 else 'blue'}" for i in range(60)]
    frame = pd.DataFrame({"at": when, "note": texts, "y": TARGET * 10})
    frame.assign(at=[d.strftime("%d/%m/%Y %H:%M") for d in when]).to_csv(tmp_path / "t.csv", index=False)
    source = Csv(path=str(tmp_path / "t.csv"), target="y", columns={"note": "hash"}, hash_features=16)
    data = load(source, 0)
    encoder = Encoder.from_state(data.encoder.state)
    assert encoder == data.encoder
    for column in (frame["at"], frame["at"].astype(str), [d.strftime("%d-%m-%Y %H:%M") for d in when]):
        np.testing.assert_array_equal(encoder.features(encoder.read(frame.assign(at=column))), data.x)
    one = pd.DataFrame({"at": ["03/04/2024 10:00"], "note": ["x"]})  # whose order nothing shows
    assert encoder.read(one).columns["at"][0] == seconds("2024-04-03 10:00")
    with pytest.raises(DataError) as error:
        encoder.read(pd.DataFrame({"at": ["soon"], "note": ["x"]}))
    assert str(error.value) == (
        "the DataFrame, row 1, column 'at': found 'soon', which is no date or time, such as 2024-01-31 14:30; correct "
        "the cell."
    )
    late = encoder.read(pd.DataFrame({"at": [None, "2031-01-01"], "note": ["x", None]})).unfamiliar
    assert [sentence.partition(":")[2].partition(" (")[0].strip() for sentence in late] == [
        "missing, as none was in training: 1 of 2 values",
        "far outside the time of the training",
        "missing, as none was in training: 1 of 2 values",
    ]
    assert late[1].endswith(f"({min(when)} to {max(when)}): 1 of 2 values (50 %), such as 2031-01-01 in row 2")


def test_few_dates_stay_categories_and_a_named_kind_decides():
    table = pd.DataFrame({"d": ["2024-01-01", "2024-02-29"] * 6, "x": range(12), "y": TARGET * 2})
    assert set(read_table(table, "y").columns["d"]) == {"2024-01-01", "2024-02-29"}
    read = read_table(table, "y", kinds={"d": "date", "x": "category"})
    assert read.columns["d"][1] == seconds("2024-02-29")
    assert read.columns["x"].dtype == object
    kept = read_table(table.assign(d=[f"2024-01-{i:02}" for i in range(1, 13)]), "y", categorical=["d"])
    assert kept.columns["d"].dtype == object
    digits = read_table(table.assign(d=[20240101 + i for i in range(12)]), "y", kinds={"d": "date"})
    assert digits.columns["d"][11] == seconds("2024-01-12")


def test_whole_numbers_that_float64_cannot_tell_apart_stay_exact():
    ids = [10**18 + i % 3 for i in range(12)]
    table = pd.DataFrame({"id": ids, "x": range(12), "y": TARGET * 2})
    read = read_table(table, "y")
    assert read.columns["id"].tolist() == [str(value) for value in ids]
    assert read.notes == [
        "column 'id': whole numbers too long for float64 are categories (data.columns.id=number rounds them)"
    ]
    short = read_table(table.assign(id=[2**50 + i % 3 for i in range(12)]), "y")
    assert short.columns["id"].dtype == np.float64


def test_hashed_words_have_the_inner_products_of_counted_ones():
    """Independent of the hash: with many features hardly two words meet, and cosines are those of exact counts."""
    texts = ["the red fox", "a red red fish", "The fish of the lake", "fox and fish", "words"]
    hashed = HashedWords.fit("t", np.array(texts, dtype=object), 2**14).features(np.array(texts, dtype=object))
    exact = normalize(CountVectorizer(token_pattern=r"\w+").fit_transform(texts)).toarray()
    np.testing.assert_allclose(hashed @ hashed.T, exact @ exact.T, atol=1e-12)
    few = HashedWords.fit("t", np.array([*texts, None], dtype=object), 8)
    features = few.features(np.array([*texts, None, "", "never seen"], dtype=object))
    assert features.shape == (8, 9)
    assert features[5].tolist() == [0] * 8 + [1]
    assert not features[6].any()
    assert np.linalg.norm(features[7, :8]) == pytest.approx(1)
    assert features[0, :8].tolist() == few.features(np.array(["FOX red, the!"], dtype=object))[0, :8].tolist()


BAD = [
    ({"columns": {"d": "date"}}, "d", "soon", "found 'soon', which is no date or time, such as 2024-01-31 14:30; "
        "correct the cell, or take the column as categories with data.categorical=[d], or leave it out with "
        "data.drop=[d]."),
    ({}, "d", "32.13.2024", "found '32.13.2024', which is no date or time, such as 2024-01-31 14:30; correct the cell, "
        "or take the column as categories with data.categorical=[d], or leave it out with data.drop=[d]."),
    ({"columns": {"x": "number"}}, "x", "few", "found 'few', which is no number; correct the cell."),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "column", "cell", "message"), BAD)
def test_a_cell_that_is_not_of_its_column_s_kind_is_named(keys, column, cell, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"d": [f"2024-01-{i:02}" for i in range(1, 25)], "x": range(24), "y": TARGET * 4})
    table = table.astype({column: object})
    table.loc[3, column] = cell
    table.to_csv("t.csv", index=False)
    with pytest.raises(DataError) as error:
        load(Csv(path="t.csv", target="y", **keys), 0)
    assert str(error.value) == f"t.csv, row 5, column '{column}': {message}"


def test_a_run_prints_what_its_columns_were_taken_for(command, tmp_path):
    table = pd.DataFrame({"d": dates(), "x": range(60), "note": [f"n {i}" for i in range(60)], "y": TARGET * 10})
    table["city"] = ["a", "b", None] * 20
    table.to_csv(tmp_path / "t.csv", index=False)
    run = ("data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "epochs=1")
    ended = command(*run, "hydra.run.dir=one")
    printed = ended.out.partition("columns    ")[2].partition("splits")[0].split("\n")
    assert [line.split() for line in printed[:4]] == [
        ["d", "date", "2023-11-05", "06:45:00", "to", *str(max(dates())).split()],
        ["x", "number", "0", "to", "59"],
        ["note", "left", "out", "60", "values"],
        ["city", "category", "20", "missing", "2", "values"],
    ]
    assert "columns" not in command(*run, "quiet=true", "hydra.run.dir=two").out
    wide = pd.DataFrame({f"x{i}": range(60) for i in range(30)} | {"c": ["a", None] * 30, "y": TARGET * 10})
    wide.to_csv(tmp_path / "t.csv", index=False)
    ended = command(*run, "hydra.run.dir=three")
    assert "columns    30 number, 1 category; 1 of 31 with missing cells\n" in ended.out


def test_kinds_are_named_on_the_command_line_and_kept_by_the_run(command, tmp_path):
    table = pd.DataFrame({"zip code": range(60), "note": [f"n {i}" for i in range(60)], "y": TARGET * 10})
    table["größe"] = [20240101 + i % 28 for i in range(60)]
    table.to_csv(tmp_path / "t.csv", index=False)
    run = ("data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "epochs=1")
    kinds = ("data.columns.note=hash", "data.columns={'zip code': category, größe: date}", "data.hash_features=4")
    assert command(*run, *kinds, "hydra.run.dir=one").code == 0
    assert (
        command(
            *run, *kinds[::2], "data.columns.zip code=category", "data.columns.größe=date", "hydra.run.dir=three"
        ).code
        == 0
    )
    again = ("--config-dir", "one/.hydra", "--config-name", "config", "hydra.run.dir=two")
    assert command(*again).code == 0
    one, two, three = (nettrain.Run(tmp_path / name) for name in ("one", "two", "three"))
    assert one.encoder == two.encoder == three.encoder
    assert {"zip code=1", "note #3", "größe days"} <= set(one.encoder.feature_names)
    ended = command(*run, "data.columns.note=text")
    assert ended.err == (
        "nettrain: data.columns={'note': 'text'}: data.columns must be one of number, category, embedding, date, hash, "
        "drop, standard, piecewise, quantile, robust.\n"
    )
    ended = command(*run, "data.columns.nota=hash")
    assert ended.err.startswith("nettrain: t.csv: there is no column 'nota' (did you mean 'note'?), which data.columns")
