"""Which known text a new one means: the same text, or another spelling of the same number, moment or truth value."""

from collections.abc import Hashable, Iterable, Sequence

from nettrain.data.values import Meaning, exact_number, folded, moment, normalized, truth, without_end


def matched(
    new: Iterable[str], known: Sequence[str], ignore_case: bool = False, labels: bool = False
) -> dict[str, str]:
    """The known text for each new one that means the same as one of them, and as no other.

    Texts that are the same match in any case. Truth values do (`True`, `yes`, `1`) where all known texts and all
    new ones are truth values, in one spelling each. With `labels` a full stop behind all new ones makes no difference.
    """
    new, present = list(new), set(known)
    truths = [[truth(text) for text in texts] for texts in (known, new)]
    result = {text: text for text in new if text in present}
    meanings: list[Meaning] = [normalized, exact_number, moment]
    if all(None not in values and len(set(values)) == len(values) for values in truths):
        meanings.append(truth)
    if ignore_case:
        meanings.append(folded)
    if labels and all(text.endswith(".") for text in new):
        meanings.append(without_end)
    for meaning in meanings:
        by_meaning = _unambiguous(known, meaning)
        for text in new:
            if text not in result and (mean := meaning(text)) is not None and mean in by_meaning:
                result[text] = by_meaning[mean]
    return result


def _unambiguous(known: Sequence[str], meaning: Meaning) -> dict[Hashable, str]:
    """The known texts by what they mean, but for meanings that several have."""
    texts: dict[Hashable, list[str]] = {}
    for text in known:
        if (mean := meaning(text)) is not None:
            texts.setdefault(mean, []).append(text)
    return {mean: several[0] for mean, several in texts.items() if len(several) == 1}
