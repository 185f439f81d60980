"""Which runs train together as one stack, and in which order."""

from collections.abc import Hashable, Sequence

from nettrain.inputs import unscaled
from nettrain.optimizers.solvers import Solver
from nettrain.preparation.prepared import PreparedRun
from nettrain.training.stack.rule_groups import kind
from nettrain.vector import Layout


def shared_shapes(run: PreparedRun) -> Hashable:
    """What all runs of a stack have in common, as far as it shows in tensors: shapes and kinds."""
    data, encoder = run.data, run.data.encoder
    return (
        Layout.of(run.model),
        run.head.name,
        (encoder.task, len(encoder.classes), tuple(encoder.targets), str(unscaled(data.inputs))),
        run.samples_per_epoch,
        tuple(name for name, rows in data.splits.items() if len(rows)),
        run.batch_size,
        data.weights is None,
        (id(data), run.config.seed) if data.streamed else None,  # rows read the same batches
    )


def by_kind(runs: Sequence[PreparedRun]) -> list[int]:
    """The runs' positions in the order in which a stack holds them: rules of one kind are neighbours."""
    kinds = [str(kind(run.optimizer)) for run in runs if not isinstance(run.optimizer, Solver)]
    return sorted(range(len(runs)), key=kinds.__getitem__)
