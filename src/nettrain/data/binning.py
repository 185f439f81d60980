"""Where the bins of a column of numbers end: at quantiles, or where a decision tree would split it by the target."""

import heapq

import numpy as np

ROWS_PER_LEAF = 0.01  # share of the rows that a bin of a tree holds at least, and
LEAST_ROWS = 5  # so many of them


def quantile_edges(values: np.ndarray, bins: int) -> list[float]:
    """The different ones among the bins + 1 quantiles of the values (n,), NaN left out, from the least to the greatest.

    Empty where there is no value.
    """
    known = values[~np.isnan(values)]
    edges: list[float] = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1))).tolist() if len(known) else []
    return edges


def of_length(edges: list[float], count: int) -> list[float]:
    """So many of the edges, evenly chosen, or all and the last one again and again."""
    if len(edges) > count:
        return [edges[i] for i in np.linspace(0, len(edges) - 1, count).round().astype(int)]
    return edges + [edges[-1]] * (count - len(edges))


def tree_edges(values: np.ndarray, target: np.ndarray, task: str, bins: int) -> list[float]:
    """The thresholds of a tree with at most so many leaves, between the least and the greatest of the values (n,).

    Of several targets, (n, m), the standardised ones are added up. The leaf that is split next, and where, is what
    lowers the impurity of all rows most: the variance of a `target` of numbers, Gini's impurity of classes (Breiman et
    al., 1984; as scikit-learn's trees with `max_leaf_nodes`). A leaf holds a hundredth of the rows or more, and at
    least 5. Empty where there is no value.
    """
    if not len(values):
        return []
    order = np.argsort(values, kind="stable")
    x = values[order]
    # Both impurities are variances: Gini's is that of the indicators of the classes, added up.
    if task in ("regression", "multilabel"):
        y = target[order].astype(float).reshape(len(x), -1)
        y = y if y.shape[1] == 1 else y / np.where(y.std(axis=0) > 0, y.std(axis=0), 1.0)  # units may differ
    else:
        y = np.eye(int(target.max()) + 1)[target[order]]
    sums = np.concatenate([np.zeros((1, y.shape[1])), np.cumsum(y - y.mean(axis=0), axis=0)])
    least = max(LEAST_ROWS, int(ROWS_PER_LEAF * len(x)))
    edges, leaves = [float(x[0]), float(x[-1])], list[tuple[float, int, int, int]]()

    def consider(first: int, last: int) -> None:
        """Note the best split of the leaf of these rows, if there is one."""
        at = np.arange(first + least, last - least + 1)
        at = at[x[at - 1] < x[at]] if len(at) else at
        if not len(at):
            return
        left, right = sums[at] - sums[first], sums[last] - sums[at]
        whole = np.square(sums[last] - sums[first]).sum() / (last - first)
        gains = np.square(left).sum(axis=1) / (at - first) + np.square(right).sum(axis=1) / (last - at) - whole
        best = int(gains.argmax())
        if gains[best] > 1e-12 * len(x):
            heapq.heappush(leaves, (-float(gains[best]), first, int(at[best]), last))

    consider(0, len(x))
    while leaves and len(edges) <= bins:
        _, first, middle, last = heapq.heappop(leaves)
        edges.append(float(x[middle - 1] + (x[middle] - x[middle - 1]) / 2))
        consider(first, middle)
        consider(middle, last)
    return sorted(set(edges))
