"""`Finding`: what new rows have that the training rows had not."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nettrain.data.wording import share

MISSING = "missing, as none was in training"


@dataclass(frozen=True)
class Finding:
    """`what` was found at a place, `where`, such as in a column, in `count` of `total` values.

    Where `total` is 0 it is no matter in how many. `about` says more, such as an example; `noun` is what is counted.
    """

    where: str
    what: str
    count: int = 0
    total: int = 0
    about: str = ""
    noun: str = "value"

    @property
    def text(self) -> str:
        """Such as `column 'town': no category of the training: 3 of 40 values (7.5 %), such as 'Linz' in row 7`."""
        counts = f": {share(self.count, self.total, self.noun)}" if self.total else ""
        return f"{self.where}: {self.what}{counts}{self.about}"


def merged(findings: Iterable[Finding], totals: Iterable[int]) -> list[Finding]:
    """The findings on the parts of a table as those on the whole, with the first example of each.

    `totals` are how many rows each part has.
    """
    of_all, rows = dict[tuple[str, str], Finding](), sum(totals)
    for finding in findings:
        key = finding.where, finding.what
        before = of_all[key].count if key in of_all else 0
        first = of_all.setdefault(key, finding)
        of_all[key] = replace(first, count=before + finding.count, total=rows if finding.total else 0)
    return list(of_all.values())
