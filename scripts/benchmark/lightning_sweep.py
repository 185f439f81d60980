"""The peer of a sweep: PyTorch Lightning in a Hydra app, with Lightning's usual logger and checkpoints.

It trains the MLP of the benchmark on digits; `seed` and `lr` are swept, data are those of nettrain's seed 0.
"""

import itertools
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import hydra
import numpy as np
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig


@dataclass
class Settings:
    data: str = "digits.npz"
    seed: int = 0
    lr: float = 1e-3
    bs: int = 8
    epochs: int = 5


ConfigStore.instance().store(name="settings", node=Settings)


@hydra.main(version_base="1.3", config_path=None, config_name="settings")
def main(settings: Settings) -> None:
    import lightning as L
    import torch
    from lightning.pytorch.loggers import TensorBoardLogger
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    L.seed_everything(settings.seed, verbose=False)
    splits = np.load(settings.data)
    sets = {s: TensorDataset(*(torch.as_tensor(splits[f"{v}_{s}"]) for v in "xy")) for s in ("train", "val")}

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            widths = [64, 64, 64]
            layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
            self.net = nn.Sequential(*layers, nn.Linear(64, 10))

        def loss(self, batch: tuple, name: str) -> torch.Tensor:
            z = self.net(batch[0])
            loss = nn.functional.cross_entropy(z, batch[1])
            self.log(f"{name}_loss", loss, on_step=False, on_epoch=True)
            self.log(f"{name}_accuracy", (z.argmax(-1) == batch[1]).float().mean(), on_step=False, on_epoch=True)
            return loss

        def training_step(self, batch: tuple, index: int) -> torch.Tensor:
            return self.loss(batch, "train")

        def validation_step(self, batch: tuple, index: int) -> None:
            self.loss(batch, "val")

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=settings.lr)

    folder = Path(HydraConfig.get().runtime.output_dir)
    quiet = dict.fromkeys(["enable_progress_bar", "enable_model_summary"], False)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=settings.epochs,
        default_root_dir=folder,
        logger=TensorBoardLogger(str(folder), name=None),
        **quiet,
    )
    trainer.fit(
        Module(),
        DataLoader(sets["train"], settings.bs, shuffle=True),
        DataLoader(sets["val"], 512),
    )


if __name__ == "__main__":
    main()
