"""A folder of Parquet files and a pattern of names are one table."""

import numpy as np
import pandas as pd
import pytest

from nettrain.data import load
from nettrain.data.sources import Csv
from nettrain.data.splitting import Random
from nettrain.errors import DataError


def table(rows: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {"a": draw.normal(size=rows), "kind": draw.choice(["x", "y"], rows), "label": draw.choice(["no", "yes"], rows)}
    )


@pytest.mark.parametrize("way", ["a folder", "a pattern", "a pattern of text files"])
def test_several_files_are_the_table_that_they_were_cut_from(way, tmp_path):
    whole, folder = table(), tmp_path / "parts"
    (folder / "later").mkdir(parents=True)
    whole.to_csv(tmp_path / "whole.csv", index=False)
    suffix = "csv" if "text" in way else "parquet"
    for i, name in enumerate(["1", "2", "later/3"]):
        part, path = whole[20 * i : 20 * (i + 1)], folder / f"{name}.{suffix}"
        part.to_csv(path, index=False) if "text" in way else part.to_parquet(path, index=False)
    (folder / "_SUCCESS.parquet").write_text("no table")
    path = str(folder) if way == "a folder" else f"{folder}/**/[0-9].{suffix}"
    one, several = (load(Csv(path=p, target="label"), 3) for p in (str(tmp_path / "whole.csv"), path))
    np.testing.assert_array_equal(several.x, one.x)
    np.testing.assert_array_equal(several.y, one.y)
    assert one.encoder.state == several.encoder.state
    assert Csv(path=path, target="label").file_hash() not in (None, Csv(path=f"{folder}/1.{suffix}").file_hash())
    new = several.encoder.read(path, with_target=True)
    np.testing.assert_array_equal(one.encoder.features(new), one.x)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (table().drop(columns="a"), "{0}/2.parquet: there is no column 'a', which {0}/1.parquet has; the files of {0}"),
        (table().assign(b=1), "{0}/1.parquet: there is no column 'b', which {0}/2.parquet has; the files of {0}"),
        (table().assign(a="text"), "{0}/1.parquet: the column 'a' holds double in {0}/1.parquet, "),
        (table().assign(label=None), "{0}, row 1 of {0}/2.parquet, column 'label': the target is missing"),
    ],
    ids=["lacking", "more", "texts", "missing target"],
)
def test_the_file_that_differs_is_named(second, message, tmp_path):
    table().to_parquet(tmp_path / "1.parquet", index=False)
    second.to_parquet(tmp_path / "2.parquet", index=False)
    with pytest.raises(DataError) as error:
        load(Csv(path=str(tmp_path), target="label"), 0)
    assert str(error.value).startswith(message.format(tmp_path)), error.value


def test_a_pattern_that_fits_nothing_is_refused(tmp_path):
    path = str(tmp_path / "2024-*.csv")
    with pytest.raises(DataError, match="no file has such a name"):
        load(Csv(path=path, target="label"), 0)
    assert Csv(path=path, target="label").file_hash() is None


def in_folders(folder, whole: pd.DataFrame) -> str:
    """The table in folders of its columns `year` and `town`, as Hive and pandas write it."""
    whole.to_parquet(folder, partition_cols=["year", "town"], index=False, row_group_size=7)
    return str(folder)


def with_places() -> pd.DataFrame:
    draw = np.random.default_rng(1)
    places = draw.choice(np.array(["Zürich", "Bern/West", None]), 60)
    return table().assign(year=draw.integers(2021, 2024, 60), town=places)


@pytest.mark.parametrize("stream", [False, True], ids=["in memory", "a stream"])
@pytest.mark.parametrize("way", ["{}", "{}/year=*/*/*.parquet", "{}/**/*.parquet"])
def test_the_names_of_folders_are_columns(way, stream, tmp_path):
    whole = with_places()
    path = way.format(in_folders(tmp_path / "parts", whole))
    keys = {"target": "label", "categorical": ["town"], "stream": stream}
    data, kind = load(Csv(path=path, **keys), 3, Random()), {"year": "number", "town": "category"}
    encoder = data.encoder
    assert {name: k for name, k, *_ in data.table.overview if name in kind} == kind
    assert encoder.feature_names == ["a", "kind=x", "kind=y", "year", "town=Bern/West", "town=Zürich", "town missing"]
    new = encoder.read(whole.assign(town=whole["town"].where(whole["town"].notna(), None)), with_target=True)
    one, other = (x[np.lexsort(x.T)] for x in (data.x[:], encoder.features(new)))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_file_that_lies_in_no_such_folder_is_named(tmp_path):
    path = in_folders(tmp_path / "parts", with_places())
    table().to_parquet(tmp_path / "parts" / "beside.parquet", index=False)
    for stream in (False, True):
        with pytest.raises(DataError, match=r"beside.parquet: there is no column 'year', which .*"):
            load(Csv(path=path, target="label", stream=stream), 0, Random())


def test_a_column_of_the_file_counts_more_than_its_folder(tmp_path):
    for year in (2021, 2022):
        (tmp_path / f"year={year}").mkdir()
        table().assign(year=range(60)).to_parquet(tmp_path / f"year={year}" / "0.parquet", index=False)
    data = load(Csv(path=str(tmp_path), target="label"), 0)
    assert sorted(set(data.table.columns["year"])) == list(range(60))
