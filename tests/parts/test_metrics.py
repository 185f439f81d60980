"""Each metric against scikit-learn's, for one row and for many, and in its degenerate cases."""

import math
import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from torch import Tensor

from nettrain.parts import metrics
from nettrain.parts.heads import IdentityMSE, SigmoidBCE, SoftmaxCE

K, N, C = 5, 61, 4


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes, which are meant here
        yield


def labels(classes: int, seed: int) -> Tensor:
    return torch.randint(classes, (K, N), generator=torch.Generator().manual_seed(seed))


def rows(function: object, *arguments: Tensor) -> np.ndarray:
    """scikit-learn's metric, row by row."""
    return np.array([function(*(a[k].numpy() for a in arguments)) for k in range(K)])  # type: ignore[operator]


def test_multiclass_metrics_are_those_of_scikit_learn() -> None:
    y, predicted = labels(C, 0), labels(C, 1)
    z = torch.nn.functional.one_hot(predicted, C).double()
    measured = SoftmaxCE().metrics(z, y)
    np.testing.assert_allclose(measured["accuracy"], rows(reference.accuracy_score, y, predicted))
    np.testing.assert_allclose(measured["balanced_accuracy"], rows(reference.balanced_accuracy_score, y, predicted))
    macro = rows(lambda y, p: reference.f1_score(y, p, average="macro"), y, predicted)
    np.testing.assert_allclose(measured["f1"], macro)


def test_confusion_matrix_counts_true_class_by_row() -> None:
    y, predicted = labels(C, 0), labels(C, 1)
    counts = metrics.confusion_matrix(predicted, y, C)
    assert counts.shape == (K, C, C)
    for k in range(K):
        np.testing.assert_array_equal(counts[k], reference.confusion_matrix(y[k], predicted[k], labels=range(C)))


@pytest.mark.parametrize("ties", [False, True])
def test_binary_metrics_are_those_of_scikit_learn(ties: bool) -> None:
    y = labels(2, 2)
    z = torch.randn(K, N, generator=torch.Generator().manual_seed(3))
    z = (2 * z).round() if ties else z
    measured = SigmoidBCE().metrics(z.unsqueeze(-1), y)
    predicted = (z > 0).long()
    np.testing.assert_allclose(measured["accuracy"], rows(reference.accuracy_score, y, predicted))
    np.testing.assert_allclose(measured["balanced_accuracy"], rows(reference.balanced_accuracy_score, y, predicted))
    np.testing.assert_allclose(measured["f1"], rows(reference.f1_score, y, predicted))
    np.testing.assert_allclose(measured["auroc"], rows(reference.roc_auc_score, y, z))


def test_auroc_of_saturated_logits_still_ranks_by_the_logit() -> None:
    z = torch.tensor([40.0, 41.0, 42.0, 43.0])  # all have sigmoid(z) = 1 in float32
    assert metrics.auroc(z, torch.tensor([0, 0, 1, 1])).item() == 1
    assert metrics.auroc(z, torch.tensor([1, 1, 0, 0])).item() == 0
    assert metrics.auroc(torch.zeros(4), torch.tensor([1, 1, 0, 0])).item() == 0.5


def test_scores_that_differ_by_rounding_are_tied() -> None:
    z = torch.tensor([0.1 + 0.2, 0.3], dtype=torch.float64)
    for y in ([0, 1], [1, 0]):
        assert metrics.auroc(z, torch.tensor(y)).item() == 0.5


@pytest.mark.parametrize("only", [0, 1])
def test_auroc_of_one_class_is_nan_and_the_other_rows_are_not(only: int) -> None:
    score = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    y = torch.stack([torch.full((6,), only), torch.tensor([0, 1, 0, 1, 1, 0])])
    assert metrics.auroc(score, y).isnan().tolist() == [True, False]


def test_one_class_only_still_has_accuracy_and_f1() -> None:
    y = torch.zeros(1, 4, dtype=torch.long)
    none = metrics.confusion_matrix(y, y, 2)
    assert metrics.f1(none)[0].tolist() == [1, 0]
    assert metrics.balanced_accuracy(none).item() == 1
    assert metrics.macro_f1(none).item() == 1


def test_macro_f1_leaves_out_classes_that_neither_occur_nor_are_predicted() -> None:
    y, predicted = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1])
    of_five = metrics.macro_f1(metrics.confusion_matrix(predicted, y, 5)).item()
    assert of_five == pytest.approx(reference.f1_score(y, predicted, average="macro"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_regression_metrics_are_those_of_scikit_learn(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(4)
    y, predicted = (1e4 + torch.randn(K, N, dtype=dtype, generator=generator) for _ in range(2))
    for ours, theirs in [
        (metrics.mse, reference.mean_squared_error),
        (metrics.mae, reference.mean_absolute_error),
        (metrics.r2, reference.r2_score),
    ]:
        expected = rows(lambda y, p, theirs=theirs: theirs(y.astype(float), p.astype(float)), y, predicted)
        np.testing.assert_allclose(ours(predicted, y), expected, rtol=1e-9)


def test_r2_of_a_constant_target_is_nan() -> None:
    y = torch.tensor([[1.0, 1.0], [1.0, 2.0]])
    r2 = metrics.r2(torch.tensor([[1.0, 2.0], [1.0, 2.0]]), y)
    assert math.isnan(r2[0])
    assert r2[1] == 1


@pytest.mark.parametrize("whole", [True, False])
def test_with_weights_all_metrics_are_those_of_scikit_learn(whole: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    weights = torch.rand(K, N, dtype=torch.float64, generator=generator) / 100
    weights = (weights * 300).round() if whole else weights
    weights[:, 3] = 0
    y, predicted = labels(C, 0), labels(C, 1)
    z = torch.nn.functional.one_hot(predicted, C).double()
    several = SoftmaxCE().metrics(z, y, weights=weights)
    two, score = labels(2, 2), (2 * torch.randn(K, N, generator=generator)).round()
    binary = SigmoidBCE().metrics(score.unsqueeze(-1), two, weights=weights)
    numbers, guessed = (torch.randn(K, N, dtype=torch.float64, generator=generator) for _ in range(2))
    regression = IdentityMSE().metrics(guessed.unsqueeze(-1), numbers, weights=weights)
    counts, mu = torch.randint(9, (K, N), generator=generator).double(), guessed.exp()
    for ours, theirs, *arguments in [
        (several["accuracy"], reference.accuracy_score, y, predicted),
        (several["balanced_accuracy"], reference.balanced_accuracy_score, y, predicted),
        (several["f1"], partial(reference.f1_score, average="macro"), y, predicted),
        (binary["f1"], reference.f1_score, two, (score > 0).long()),
        (binary["auroc"], reference.roc_auc_score, two, score),
        (regression["mse"], reference.mean_squared_error, numbers, guessed),
        (regression["mae"], reference.mean_absolute_error, numbers, guessed),
        (regression["r2"], reference.r2_score, numbers, guessed),
        (metrics.poisson_deviance(mu, counts, weights), reference.mean_poisson_deviance, counts, mu),
    ]:
        expected = rows(lambda a, b, w, f=theirs: f(a, b, sample_weight=w), *arguments, weights)
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_one_row_of_weights_is_for_all_rows() -> None:
    y, score = labels(2, 0), torch.randn(K, N, generator=torch.Generator().manual_seed(3))
    weights = torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    for name, value in SigmoidBCE().metrics(score.unsqueeze(-1), y, weights=weights).items():
        of_each = SigmoidBCE().metrics(score.unsqueeze(-1), y, weights=weights.expand(K, N))[name]
        torch.testing.assert_close(value, of_each)
