"""The data sets equal scikit-learn's, and each has its config file."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from sklearn import datasets

from nettrain.data import load, shipped, sources, sql, tensor_sources
from nettrain.errors import ConfigError
from nettrain.registry import check, named_parts, subclasses

ALL = [
    shipped.Digits,
    shipped.Iris,
    shipped.Wine,
    shipped.BreastCancer,
    shipped.Diabetes,
    shipped.Linnerud,
    shipped.Line,
    shipped.Quadratic,
    shipped.Sine,
    shipped.Moons,
    shipped.Spirals,
    sources.Csv,
    sources.Frame,
    sql.Sql,
    tensor_sources.DigitsImages,
    tensor_sources.DigitsRows,
    tensor_sources.Npz,
    tensor_sources.Images,
]
CONFIGS = Path(__file__).parents[2] / "configs" / "data"


@pytest.mark.parametrize(
    ("source", "reference"),
    [
        (shipped.Digits, datasets.load_digits()),
        (shipped.Iris, datasets.load_iris()),
        (shipped.Wine, datasets.load_wine()),
        (shipped.BreastCancer, datasets.load_breast_cancer()),
        (shipped.Diabetes, datasets.load_diabetes(scaled=False)),
        (shipped.Linnerud, datasets.load_linnerud()),
    ],
)
def test_a_bundled_data_set_equals_scikit_learns(source, reference):
    table = source().load()
    assert list(table.columns) == list(reference.feature_names)
    np.testing.assert_array_equal(np.stack(list(table.columns.values()), axis=1), reference.data)
    np.testing.assert_array_equal(table.target, reference.target)
    names = [str(name) for name in reference.get("target_names", [])]
    assert (table.targets or table.classes) == names
    assert table.target.dtype == (np.int64 if table.classes else np.float64)
    assert table.task == {0: "regression", 2: "binary"}.get(len(table.classes), "multiclass")


def test_moons_equal_scikit_learns():
    table = shipped.Moons(noise=0.0, samples=101).load()
    points, classes = datasets.make_moons(101, shuffle=False, noise=None)
    np.testing.assert_allclose(np.stack([table.columns["x1"], table.columns["x2"]], axis=1), points, atol=1e-12)
    np.testing.assert_array_equal(table.target, classes)


def test_spirals_are_the_same_spiral_turned_by_half_a_turn():
    table = shipped.Spirals(noise=0.0, samples=100).load()
    points = np.stack([table.columns["x1"], table.columns["x2"]], axis=1)
    first, second = points[table.target == 0], points[table.target == 1]
    assert len(first) == len(second) == 50
    np.testing.assert_allclose(first, -second, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1) ** 2, (3 * np.pi) ** 2 * np.linspace(0, 1, 50), atol=1e-9)


def test_quadratic_is_its_parabola():
    table = shipped.Quadratic(w1=4.0, w2=0.5, w3=-2.0, noise=0.0).load()
    x = table.columns["x"]
    np.testing.assert_allclose(table.target, 4 * x**2 + 0.5 * x - 2, atol=1e-12)
    assert x.shape == (128,)
    assert -1 <= x.min() < -0.9
    assert 0.9 < x.max() <= 1
    assert len(load(shipped.Quadratic(), 0).splits["train"]) == 64


def test_line_is_straight_between_its_bounds():
    table = shipped.Line(w1=4.0, w2=0.5, low=3.0, high=5.0, noise=0.0).load()
    x = table.columns["x"]
    np.testing.assert_allclose(table.target, 4 * x + 0.5, atol=1e-12)
    assert 3 <= x.min() < 3.1
    assert 4.9 < x.max() <= 5


def test_a_line_needs_bounds_in_order():
    with pytest.raises(ConfigError, match=r"data\.low=2: it must be less than data.high=1"):
        shipped.Line(low=2, high=1).load()


def test_sine_is_two_periods_of_its_sine():
    table = shipped.Sine(noise=0.0).load()
    x = table.columns["x"]
    np.testing.assert_allclose(table.target, np.sin(2 * np.pi * x), atol=1e-12)
    assert -1 <= x.min() < -0.9
    assert 0.9 < x.max() <= 1


@pytest.mark.parametrize("source", [shipped.Line, shipped.Quadratic, shipped.Sine, shipped.Moons, shipped.Spirals])
def test_points_depend_on_the_data_seed_and_noise_alone(source):
    def points(**options):
        data = load(source(standardize=False, **options), seed=options.get("split_seed", 0))
        return np.column_stack([data.x, data.y])

    np.testing.assert_array_equal(points(), points(split_seed=5))
    assert not np.array_equal(points(), points(data_seed=1))
    clean, noisy = points(noise=0.0, samples=4000), points(noise=0.3, samples=4000)
    columns = [1] if source in (shipped.Line, shipped.Quadratic, shipped.Sine) else [0, 1]
    np.testing.assert_allclose((noisy - clean)[:, columns].std(axis=0), 0.3, rtol=0.05)


def test_every_data_set_is_in_the_list_above():
    assert set(ALL) == set(named_parts(subclasses(sources.Dataset)).values())
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {source.name for source in ALL}


@pytest.mark.parametrize("source", ALL)
def test_a_data_set_is_a_config_schema(source):
    config = OmegaConf.structured(source)
    assert config.name == source.name
    config.split_seed = 3
    needed = {sources.Csv: {"path": "p", "target": "t"}, sources.Frame: {"target": "t"}}
    needed |= {tensor_sources.Npz: {"path": "p"}, tensor_sources.Images: {"path": "p"}}
    needed |= {sql.Sql: {"query": "select 1", "target": "t"}}
    assert OmegaConf.to_object(OmegaConf.merge(config, needed.get(source, {})))


def test_options_have_limits():
    for options in ({"val_fraction": 1.0}, {"test_fraction": -0.1}, {"split_seed": -1}):
        with pytest.raises(ConfigError):
            check(shipped.Digits(**options))
    with pytest.raises(ConfigError, match="one of auto, binary, multiclass, multilabel, regression"):
        check(sources.Csv(path="p", target="t", task="ranking"))
