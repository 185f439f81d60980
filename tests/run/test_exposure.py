"""Counts with an exposure: the rates are those that the likelihood of the counts gives."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance

import nettrain
from nettrain.data import load
from nettrain.data.sources import Csv
from nettrain.errors import ConfigError, DataError


@pytest.fixture
def claims(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    x, years = draw.normal(size=(300, 2)), draw.uniform(0.1, 3, 300).round(3)
    counts = draw.poisson(years * np.exp(0.5 + x @ [0.8, -0.4]))
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "years": years, "claims": counts})
    table.to_csv("t.csv", index=False)
    return table


EXACT = [
    *(
        "data=csv",
        "recipe=plain",
        "data.path=t.csv",
        "data.target=claims",
        "data.exposure=years",
        "data.standardize=false",
    ),
    *("head=poisson", "model=linear", "optimizer=newton", "bs=full", "epochs=30", "precision=float64", "quiet=true"),
    *("data.val_fraction=0", "data.test_fraction=0.2", "figures=never"),
]


def test_the_rates_are_those_of_the_likelihood_of_the_counts(claims):
    run = nettrain.train(EXACT)
    train, test = (claims.iloc[run.data.splits[name]] for name in ("train", "test"))

    def negative_log_likelihood(w):
        rate = torch.exp(torch.tensor(train[["a", "b"]].to_numpy()) @ torch.tensor(w[:2]) + w[2])
        expected = rate * torch.tensor(train["years"].to_numpy())
        return -float(torch.distributions.Poisson(expected).log_prob(torch.tensor(train["claims"].to_numpy())).mean())

    w = minimize(negative_log_likelihood, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}).x
    assert run.model.layers[0].weight.detach().flatten().tolist() == pytest.approx(w[:2], abs=1e-5)
    assert float(run.model.layers[0].bias.detach()) == pytest.approx(w[2], abs=1e-5)
    theirs = PoissonRegressor(alpha=0, tol=1e-10).fit(
        train[["a", "b"]], train["claims"] / train["years"], sample_weight=train["years"]
    )
    rates = run.predict(test.drop(columns=["years", "claims"]))["prediction"]
    np.testing.assert_allclose(rates, theirs.predict(test[["a", "b"]]), rtol=1e-4)
    deviance = mean_poisson_deviance(test["claims"] / test["years"], rates, sample_weight=test["years"])
    assert run.summary["test_deviance"] == pytest.approx(deviance)
    assert run.evaluate(test)["deviance"] == pytest.approx(deviance)
    per_unit = 2 * (
        np.where(
            test["claims"] > 0,
            test["claims"] * np.log(np.maximum(test["claims"], 1) / (rates.to_numpy() * test["years"])),
            0,
        )
        - test["claims"]
        + rates.to_numpy() * test["years"]
    )
    assert deviance == pytest.approx(per_unit.sum() / test["years"].sum())


def test_an_exposure_is_no_feature_and_multiplies_the_weight(claims):
    claims.assign(w=2.0).to_csv("t.csv", index=False)
    data = load(Csv(path="t.csv", target="claims", exposure="years", weight="w"), 0)
    assert data.encoder.feature_names == ["a", "b"]
    np.testing.assert_allclose(data.table.target, claims["claims"] / claims["years"])
    np.testing.assert_allclose(data.table.weights, 2 * claims["years"])
    assert data.encoder.task == "regression"


BAD = [
    ({"years": 0.0}, {}, "t.csv, row 6, column 'years': found 0; an exposure is a number greater than 0."),
    ({"years": -1.0}, {}, "t.csv, row 6, column 'years': found -1; an exposure is a number greater than 0."),
    ({"years": np.nan}, {}, "t.csv, row 6, column 'years': the exposure is missing; an exposure is a number "
        "greater than 0."),
    ({}, {"exposure": "year"}, "t.csv: there is no column 'year' (did you mean 'years'?), which data.exposure names; "
        "the columns are a, b, years, claims."),
    ({}, {"exposure": "claims"}, "t.csv: data.exposure names the target 'claims'; it is for another column."),
    ({}, {"task": "multiclass"}, "data.exposure=years: data.task=multiclass has classes, and nothing is counted."),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "keys", "message"), BAD)
def test_an_exposure_that_cannot_be_is_refused(cells, keys, message, claims):
    for name, value in cells.items():
        claims.loc[4, name] = value
    claims["claims"] = claims["claims"].clip(0, 3) if "task" in keys else claims["claims"]
    claims.to_csv("t.csv", index=False)
    with pytest.raises((ConfigError, DataError)) as error:
        load(Csv(**{"path": "t.csv", "target": "claims", "exposure": "years", **keys}), 0)
    assert str(error.value) == message


def test_counts_are_checked_as_they_stand_in_the_table(claims):
    claims.astype({"claims": float}).assign(claims=lambda t: t["claims"].where(t.index != 7, 1.5)).to_csv(
        "t.csv", index=False
    )
    with pytest.raises(DataError) as error:
        nettrain.train(EXACT)
    assert str(error.value) == (
        "t.csv, row 9, column 'claims': found 1.5; head=poisson takes whole numbers of at least 0."
    )
