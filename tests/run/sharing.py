"""Several processes that share one run, and the same run in one process.

`python sharing.py FOLDER` is one of the processes, with the environment that torchrun gives each. FOLDER/cases.json has
the overrides of the runs by name; each is trained into FOLDER/shared/<name>, and by the leader alone into
FOLDER/alone/<name>.
"""

import json
import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pandas as pd

SECONDS = 600  # that all of it may take, on a busy machine
MODULE = """
from torch import nn


def noisy(in_features, out_features):
    layers = nn.Linear(in_features, 8), nn.GELU(), nn.Dropout(0.3), nn.Linear(8, out_features)
    return nn.Sequential(nn.Dropout(0.2), *layers)
"""


def environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": port}
    texts = {name: str(number) for name, number in numbers.items()}
    return {**os.environ, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", **texts}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def shared(folder: Path, cases: dict[str, list[str]], ranks: int) -> None:
    """Train all cases in so many processes, and alone."""
    (folder / "cases.json").write_text(json.dumps(cases))
    (folder / "own.py").write_text(MODULE)
    port, table = free_port(), folder / "parts"
    table.mkdir()
    draw = np.random.default_rng(0)
    x, kind = draw.normal(size=(600, 3)), draw.choice(["a", "b"], 600)
    label = np.where(x[:, 2] + x[:, 0] > 0, "no", "yes")
    frame = pd.DataFrame({"x": x[:, 0], "y": x[:, 1], "kind": kind, "label": label, "count": draw.integers(1, 4, 600)})
    for i in range(3):
        frame[200 * i : 200 * (i + 1)].to_parquet(table / f"{i}.parquet", index=False, row_group_size=70)
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env=environment(rank, ranks, port),
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    try:
        told = [process.communicate(timeout=SECONDS)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * ranks, "\n".join(told)


def main(folder: Path) -> None:
    sys.path.append(str(folder))
    import torch
    from beside import CPU, setups

    from nettrain.data import stream_order, streamed_rows
    from nettrain.preparation.shareable import require_shareable
    from nettrain.ranks.group import Group
    from nettrain.training import outputs
    from nettrain.training.trainer import Trainer

    torch.set_num_threads(1)
    stream_order.BATCH, streamed_rows.WINDOW_BYTES, outputs.MEASURED = 16, 4 * 5 * 64, 96  # much in little
    cases, ranks = json.loads((folder / "cases.json").read_text()), Group()
    read: list[int] = []
    encode = streamed_rows.StreamedRows._encode

    def counted(self, raw, rows, x):
        read.append(len(rows))
        encode(self, raw, rows, x)

    streamed_rows.StreamedRows._encode = counted
    for name, overrides in cases.items():
        place = folder / "shared" / name if ranks.leads else folder / f"of {ranks.rank}" / name
        (run,) = setups(place, *overrides, rows=[""])
        require_shareable(run, ranks.size)
        read.clear()
        Trainer([run], CPU, ranks=ranks).run()
        rows = ranks.all(sum(read))
        (folder / f"{name}.read.json").write_text(json.dumps(rows)) if ranks.leads else None
    if ranks.leads:
        for name, overrides in cases.items():
            (run,) = setups(folder / "alone" / name, *overrides, rows=[""])
            read.clear()
            Trainer([run], CPU).run()
            (folder / f"{name}.alone.json").write_text(json.dumps(sum(read)))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
