"""`Embedded`: a column of many categories, of which a model learns an embedding each."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from nettrain.data.encoded_columns import Categorical

MOST = 1000  # categories with an embedding of their own
LEAST_ROWS = 2  # of a category with an embedding of its own


@dataclass
class Embedded(Categorical):
    """A column of categories, one feature: the number of the category, or the last one, `vocabulary` - 1, for others.

    Others are categories that the training rows had not, those of a single row (`rare`), and all but the most frequent
    thousand.
    """

    rare: list[str | None] = field(default_factory=list)
    vocabulary: int = 1

    @classmethod
    def of(cls, name: str, counts: Counter[str | None], distinct: int) -> "Embedded":
        """Learn from how many training rows hold each category; `distinct` are the categories of all rows."""
        by_count = sorted(counts, key=lambda text: (-counts[text], text is None, text or ""))
        often = [text for text in by_count if counts[text] >= LEAST_ROWS][:MOST]
        kept = [*sorted(text for text in often if text is not None), *([None] if None in often else [])]
        rare = [text for text in by_count if text not in set(often)]
        return cls(name, kept, rare=rare, vocabulary=min(max(distinct, len(kept)), MOST) + 1)

    @property
    def has_one_value(self) -> bool:
        return len(self.categories) + len(self.rare) == 1

    @property
    def known(self) -> list[str | None]:
        return [*self.categories, *self.rare]

    @property
    def feature_names(self) -> list[str]:
        return [self.name]

    def features_of(self, codes: np.ndarray) -> np.ndarray:
        return np.where(codes < 0, self.vocabulary - 1, codes).astype(np.float64)[:, None]
