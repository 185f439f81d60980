"""`Piecewise`, `Quantile` and `Robust`: other ways than standardising in which a column of numbers becomes features."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nettrain.data.binning import of_length, quantile_edges, tree_edges
from nettrain.data.encoded_columns import Numeric
from nettrain.data.number_options import NumberOptions

MOST_BINS = 2048  # of all columns together
MOST_QUANTILES, LEAST_QUANTILES, ROWS_PER_QUANTILE = 1000, 10, 30
NEAREST_TO_0 = 1e-7  # of the share of rows below a number, so that its normal quantile is finite
CLIP = 3.0
FAR = 1e100  # from where on a clipped number is the clip


@dataclass
class Piecewise(Numeric):
    """The standardised number, and beside it one feature for each bin between neighbours of the ascending `edges`.

    In the bin from a to b it is min(max((x - a) / (b - a), 0), 1): 0 below the bin, 1 above it (Gorishniy et al., 2022,
    "On Embeddings for Numerical Features in Tabular Deep Learning"; outside of all edges the features stay as they are
    there). It is 0 where a = b, for a bin that there is in other splits of the table. A missing number is in the bin of
    the median.
    """

    edges: list[float] = field(default_factory=list)

    @property
    def bins(self) -> int:
        """How many features there are beside the number."""
        return max(len(self.edges) - 1, 0)

    @property
    def feature_names(self) -> list[str]:
        return [*super().feature_names, *(f"{self.name} bin {i + 1}" for i in range(self.bins))]

    def features(self, values: np.ndarray) -> np.ndarray:
        features = super().features(values)
        if not self.edges:
            return features
        low, high = np.array(self.edges[:-1]), np.array(self.edges[1:])
        inside = np.clip(self.filled(values)[:, None], low, high) - low
        return np.concatenate([features, inside / np.where(low < high, high - low, 1.0)], axis=1)


@dataclass
class Quantile(Numeric):
    """The normal quantile of the share of training rows below the number, interpolated between the `quantiles`.

    Of a number that several neighbouring quantiles have, the share is the mean of theirs, and shares are at least
    10^-7 from 0 and 1. That is scikit-learn's `QuantileTransformer(output_distribution="normal")`. There are as many
    quantiles as thirtieths of the training rows, at least 10 and at most 1000.
    """

    quantiles: list[float] = field(default_factory=list)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        from scipy.special import ndtri

        x, quantiles = self.filled(values), np.array(self.quantiles)
        shares = np.linspace(0, 1, len(quantiles))
        below = np.interp(x, quantiles, shares)
        above = np.interp(-x, -quantiles[::-1], -shares[::-1])
        return np.asarray(ndtri(np.clip((below - above) / 2, NEAREST_TO_0, 1 - NEAREST_TO_0)))


@dataclass
class Robust(Numeric):
    """t / sqrt(1 + (t / 3)^2) of t = (x - median) / (q3 - q1), which lies between -3 and 3.

    `mean` is the median and `scale` the distance of the quartiles, or where that is 0 half of the range (Holzmüller et
    al., 2024, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data"). With `clip` 3.
    """

    clip: float = CLIP

    def scaled(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # quartiles may be next to each other
            t = np.clip(super().scaled(values), -FAR, FAR)
        return t / np.sqrt(1 + np.square(t / self.clip))


def encoded(
    columns: Sequence[Numeric],
    encodings: Mapping[str, str],
    values: Iterable[np.ndarray],
    all_values: Iterable[np.ndarray],
    options: NumberOptions,
    target: np.ndarray | None = None,
    task: str = "regression",
) -> list[Numeric]:
    """The standardised columns as `encodings` say by their names, or else `options.numbers`.

    `values`, (n,) for each column, are its numbers in the training rows, or in a sample of these, NaN where they are
    missing; `target`, (n,), is that of these rows, without which bins end at quantiles. `all_values` are those of all
    rows: they say how many bins a column has, so that rows of a stack with other splits have as many features. Of wide
    tables a column has fewer bins, of a column of two numbers none.
    """
    chosen = [encodings.get(column.name, options.numbers) for column in columns]
    most = min(options.bins, max(2, MOST_BINS // max(1, chosen.count("piecewise"))))
    made = list[Numeric]()
    for column, encoding, numbers, all_numbers in zip(columns, chosen, values, all_values, strict=True):
        there = ~np.isnan(numbers)
        known = numbers[there]
        if encoding == "piecewise":
            bins = len(quantile_edges(all_numbers, most)) - 1
            if options.binning == "tree" and target is not None:
                edges = tree_edges(known, target[there], task, bins)
            else:
                edges = quantile_edges(known, most)
            edges = of_length(edges or [column.median], bins + 1) if bins > 1 else []
            made.append(Piecewise(**vars(column), edges=edges))
        elif encoding == "standard" or not len(known) or known.min() == known.max():
            made.append(column)
        elif encoding == "quantile":
            count = min(max(len(known) // ROWS_PER_QUANTILE, LEAST_QUANTILES), MOST_QUANTILES)
            quantiles = np.maximum.accumulate(np.quantile(known, np.linspace(0, 1, count)))  # rounding may swap two
            made.append(Quantile(**vars(column), quantiles=quantiles.tolist()))
        else:
            low, first, third, high = np.quantile(known, [0, 0.25, 0.75, 1]).tolist()
            center = {"mean": float(np.median(known)), "scale": third - first or (high - low) / 2 or 1.0}
            made.append(Robust(**{**vars(column), **center}))
    return made
