"""The methods that `make bench-tables` compares: each learns from one table and predicts the rows of another.

All have one thread, and the settings that they have by default; where these include no stopping by validation rows, and
the method can stop so, it is given 15 % of its rows for it.
"""

import os
import tempfile
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from benchmark.table_sets import TableSet

VALIDATION_SHARE = 0.15
PATIENCE = 50  # trees without a better validation loss
Method = Callable[[TableSet, pd.DataFrame, pd.DataFrame, int], np.ndarray]


def class_names(table: TableSet, train: pd.DataFrame) -> list[str]:
    return sorted(train[table.target].unique()) if table.classes else []


def nettrain(*words: str) -> Method:
    """nettrain with these words; the table is a CSV file, as anybody's, and nothing is compiled yet."""

    def method(table: TableSet, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
        import nettrain as lib

        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, XDG_CACHE_HOME=folder):
            train.to_csv(f"{folder}/train.csv", index=False)
            test.drop(columns=table.target).to_csv(f"{folder}/test.csv", index=False)
            of_table = [f"data.path={folder}/train.csv", f"data.target={table.target}", f"seed={seed}"]
            run = lib.train(["data=csv", *of_table, "quiet=true", "figures=never", *words], f"{folder}/run")
            predicted = run.predict(f"{folder}/test.csv")
        if not table.classes:
            return predicted["prediction"].to_numpy()
        columns = {name.removeprefix("probability_"): name for name in predicted if name.startswith("probability_")}
        return np.stack([predicted[columns[name]] for name in class_names(table, train)], 1)

    return method


def _features(
    table: TableSet, train: pd.DataFrame, test: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, list[str]]:
    """Both tables without the target, texts as categories, and the target: class numbers, or numbers."""
    x, x_test = train.drop(columns=table.target), test.drop(columns=table.target)
    categories = [name for name in x if not pd.api.types.is_numeric_dtype(x[name])]
    for name in categories:
        known = pd.CategoricalDtype(sorted(x[name].dropna().astype(str).unique()))
        x[name], x_test[name] = (part[name].astype(object).where(part[name].notna()) for part in (x, x_test))
        x[name], x_test[name] = (part[name].map(str, na_action="ignore").astype(known) for part in (x, x_test))
    if not table.classes:
        return x, x_test, train[table.target].to_numpy(), categories
    names = class_names(table, train)
    return x, x_test, train[table.target].map({name: i for i, name in enumerate(names)}).to_numpy(), categories


def _validation(table: TableSet, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    counts = np.bincount(y.astype(int)) if table.classes else np.array([2])
    stratify = y if table.classes and counts[counts > 0].min() >= 2 and len(counts) < 0.1 * len(y) else None
    first, second = train_test_split(
        np.arange(len(y)), test_size=VALIDATION_SHARE, random_state=seed, stratify=stratify
    )
    return first, second


def _output(table: TableSet, model: Any, x: Any, y: np.ndarray) -> np.ndarray:
    """What a model like scikit-learn's predicts; a class that it never saw has probability 0."""
    if not table.classes:
        return np.asarray(model.predict(x), dtype=float).reshape(-1)
    known = np.asarray(model.classes_ if hasattr(model, "classes_") else range(int(y.max()) + 1), dtype=int)
    p = np.zeros((len(x), int(y.max()) + 1))
    p[:, known] = model.predict_proba(x)
    return p


def lightgbm(table: TableSet, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    import lightgbm as lib

    x, x_test, y, _ = _features(table, train, test)
    fit, val = _validation(table, y, seed)
    kind = lib.LGBMClassifier if table.classes else lib.LGBMRegressor
    model = kind(n_estimators=1000, n_jobs=1, random_state=seed, verbosity=-1)
    stopping = [lib.early_stopping(PATIENCE, verbose=False)]
    model.fit(x.iloc[fit], y[fit], eval_set=[(x.iloc[val], y[val])], callbacks=stopping)
    return _output(table, model, x_test, y)


def xgboost(table: TableSet, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    import xgboost as lib

    x, x_test, y, _ = _features(table, train, test)
    fit, val = _validation(table, y, seed)
    kind = lib.XGBClassifier if table.classes else lib.XGBRegressor
    model = kind(
        n_estimators=1000, n_jobs=1, random_state=seed, enable_categorical=True, early_stopping_rounds=PATIENCE
    )
    model.fit(x.iloc[fit], y[fit], eval_set=[(x.iloc[val], y[val])], verbose=False)
    return _output(table, model, x_test, y)


def catboost(table: TableSet, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    import catboost as lib

    x, x_test, y, categories = _features(table, train, test)
    for name in categories:
        x[name], x_test[name] = (part[name].astype(object).fillna("missing").astype(str) for part in (x, x_test))
    fit, val = _validation(table, y, seed)
    kind = lib.CatBoostClassifier if table.classes else lib.CatBoostRegressor
    model = kind(
        thread_count=1,
        random_seed=seed,
        verbose=False,
        allow_writing_files=False,
        cat_features=categories,
        early_stopping_rounds=PATIENCE,
    )
    model.fit(x.iloc[fit], y[fit], eval_set=(x.iloc[val], y[val]))
    return _output(table, model, x_test, y)


def hist_gradient_boosting(table: TableSet, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    x, x_test, y, categories = _features(table, train, test)
    for name in categories:
        if len(x[name].cat.categories) > 255:  # more than it takes
            x[name], x_test[name] = x[name].cat.codes, x_test[name].cat.codes
    kind = HistGradientBoostingClassifier if table.classes else HistGradientBoostingRegressor
    model = kind(random_state=seed, categorical_features="from_dtype", early_stopping=True, max_iter=1000)
    model.fit(x, y)
    return _output(table, model, x_test, y)


def sklearn_mlp(table: TableSet, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x, x_test, y, categories = _features(table, train, test)
    numbers = [name for name in x if name not in categories]
    encode = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
    )
    inputs = encode.fit_transform(x)
    kind = MLPClassifier if table.classes else MLPRegressor
    mean, scale = (0, 1) if table.classes else (y.mean(), y.std())
    model = kind(random_state=seed, early_stopping=True, max_iter=200)
    model.fit(inputs, y if table.classes else (y - mean) / scale)
    predicted = _output(table, model, encode.transform(x_test), y)
    return predicted if table.classes else predicted * scale + mean


def pytabkit(name: str) -> Method:
    """A model of pytabkit's with its tuned defaults, `RealMLP_TD` or `TabM_D`."""

    def method(table: TableSet, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
        import pytabkit as lib

        x, x_test, y, categories = _features(table, train, test)
        for column in [column for column in x if column not in categories]:  # it takes no missing numbers
            median = x[column].median()
            x[column], x_test[column] = (part[column].fillna(median) for part in (x, x_test))
        kind = getattr(lib, f"{name}_{'Classifier' if table.classes else 'Regressor'}")
        model = kind(device="cpu", random_state=seed, n_threads=1, verbosity=0)
        model.fit(x, y, cat_col_names=categories)
        return _output(table, model, x_test, y)

    return method


PEERS: dict[str, Method] = {
    "scikit-learn MLP": sklearn_mlp,
    "scikit-learn HistGradientBoosting": hist_gradient_boosting,
    "LightGBM": lightgbm,
    "XGBoost": xgboost,
    "CatBoost": catboost,
    "RealMLP-TD": pytabkit("RealMLP_TD"),
    "TabM-D": pytabkit("TabM_D"),
}
