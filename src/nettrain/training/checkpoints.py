"""The checkpoints of a stack's rows: all that going on needs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nettrain.storage.files import write_together
from nettrain.training.run_state import Row
from nettrain.training.stack.stack import Stack
from nettrain.vector import state_dict


def save_rows(
    stack: Stack, rows: Sequence[Row], which: Sequence[int], position: dict[str, Any], z: list[Tensor]
) -> None:
    """Write last.pt, all that going on needs, and best.pt of these rows.

    `position` is where they stand, alike for all; z those of the batches of an epoch that is not over. Weights that are
    not finite replace no checkpoint while their row is running.
    """
    outputs: list[Tensor | None] = [None] * len(rows)
    if z:
        outputs = list(stack.each(torch.cat(z, -2)))
    states, skipped = stack.each_state(), [int(n) for n in stack.each(stack.skipped)]
    buffers, best_buffers = stack.each_of(stack.objective.buffers), stack.each_of(stack.best_buffers)
    ws, best_ws = list(stack.each(stack.w)), list(stack.each(stack.best_w))

    def save(i: int) -> None:
        row = rows[i]
        if row.status == "running" and not ws[i].isfinite().all():
            return
        row.save(
            "last.pt",
            ws[i],
            buffers[i],
            optimizer=states[i],
            schedule=row.setup.schedule.state(),
            last=row.last,
            best=row.best,
            progress=row.progress,
            halvings=row.halvings,
            initial=row.initial,
            skipped=skipped[i],
            status=row.status,
            pruned=row.reason if row.pruned else None,
            best_model=state_dict(row.setup.model, best_ws[i], best_buffers[i]),
            best_buffers=best_buffers[i],
            outputs=outputs[i],
            path=row.path.state() if row.path else None,
            **position,
        )
        if row.best:
            row.save("best.pt", best_ws[i], best_buffers[i], epoch=int(row.best["epoch"]), best=row.best)

    write_together(save, which)
