"""A folder of Parquet files and a pattern of names are one table."""

import numpy as np
import pandas as pd
import pytest

from nettrain.data import load
from nettrain.data.sources import Csv
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
