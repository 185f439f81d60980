"""The root keys of the configuration: the settings of the training loop."""

from dataclasses import dataclass, field
from typing import Any, Union

import torch

from nettrain.errors import ConfigError
from nettrain.registry import option

FIGURES = (  # that a report draws if it is asked to, each of one idea
    "activations",
    "backpropagation",
    "batches",
    "boundaries",
    "distributions",
    "excess",
    "excess_by_epoch",
    "fitted_curves",
    "layer_gradients",
    "learning_rates",
    "losses_by_cost",
    "losses_by_evaluations",
    "losses_by_update",
    "outcomes",
    "paths",
    "splits",
    "updates",
    "weights",
)


@dataclass
class EarlyStopping:
    """When a run ends before its last epoch: by what it monitors, by default the loss on the validation split."""

    patience: int | None = option(
        None, "stop after N epochs without a better loss; null: never", per_row=True, minimum=1
    )
    min_delta: float = option(0.0, "how much lower a loss must be to count as better", per_row=True, minimum=0)


@dataclass
class Checkpoint:
    """How often the state of a run is saved; at its end, and when it is interrupted, it always is."""

    every_seconds: float = option(10.0, "save at least every N seconds", "launch", per_row=True, minimum=0)
    every_steps: int | None = option(
        None, "save every N updates; null: by time only", "launch", per_row=True, minimum=1
    )


@dataclass
class Budget:
    """What a run may spend before it ends, whatever its epochs; null: as much as they take."""

    updates: int | None = option(None, "stop after N updates; null: no limit", "length", minimum=1)
    function_evaluations: int | None = option(None, "stop after N evaluations of the loss", "length", minimum=1)
    gradient_evaluations: int | None = option(None, "stop after N evaluations of the gradient", "length", minimum=1)
    hessian_vector_products: int | None = option(None, "stop after N Hessian-vector products", "length", minimum=1)
    seconds: float | None = option(None, "stop after N seconds", "length", above=0)


@dataclass
class Debug:
    """Less of the data, to find out soon whether a run works; such a run says that it is one."""

    batches: int | None = option(None, "use N batches of each split at most; null: all", minimum=1)
    samples: int | None = option(None, "use N rows of each split at most; null: all", minimum=1)
    share: float | None = option(
        None, "use this share of the rows of each split at most; null: all", above=0, maximum=1
    )
    overfit: bool = option(
        False, "end the run once it has learnt its batch: an accuracy of 1, or of numbers an R2 of 0.99"
    )

    def __bool__(self) -> bool:
        return self != Debug()

    def most(self, bs: int | str) -> int | None:
        """How many rows of each split are used at most."""
        of_batches = self.batches * bs if self.batches and isinstance(bs, int) else None
        return min((n for n in (of_batches, self.samples) if n is not None), default=None)


@dataclass
class Watch:
    """What is looked at inside the network while it trains, beside losses and metrics."""

    layers: bool = option(True, "record each layer's gradient norm and update-to-weight ratio every epoch", "launch")
    units: bool = option(
        True, "record the share of dead ReLU and of saturated sigmoid and tanh units every epoch", "launch"
    )
    histograms_every: int | None = option(
        None,
        "write TensorBoard histograms of weights and gradients every N epochs; null: never",
        "launch",
        minimum=1,
    )
    graph: bool = option(True, "write the model's graph for TensorBoard", "launch")
    images: bool = option(
        True,
        "show figures in TensorBoard, too, in runs longer than about ten seconds also during training (at most 4 % of "
        "the time)",
        "launch",
    )


@dataclass
class Settings:
    """What the loop needs to know beside the parts."""

    bs: Union[int, str] = option(32, "batch size (samples per update), or `full` for the whole training split")  # noqa: UP007
    epochs: int = option(50, "passes over the training split", "length", per_row=True, minimum=0)
    seed: int = option(
        0,
        "seed of the initial weights, the order of batches, dropout and the split",
        "chance",
        per_row=True,
        minimum=0,
        maximum=2**63 - 1,
    )
    members: int = option(
        1,
        "rows that are trained together as one run, each with its own seed and validation rows; what they predict "
        "together is the mean of their distributions",
        minimum=1,
    )
    folds: int | None = option(
        None, "as members, one for each of N folds of the rows, on which it is validated; null: no folds", minimum=2
    )
    class_weight: Any = option(
        None,
        "weights of the classes in loss and metrics: balanced, with which all weigh the same, or some of them, such as "
        "{yes: 5}; null: 1 each",
    )
    calibrate: str = option(
        "never",
        "divide the logits of classes, in predictions and on the test split, by the temperature with which the "
        "validation rows have the least loss; auto: where there are classes and validation rows",
        choices=("never", "auto", "always"),
    )
    groups: Any = option(
        None,
        "groups of parameters by patterns of their names, such as {*.bias: {weight_decay: 0}, layers.0.*: {freeze: "
        "true}}: factors of the optimizer's lr and weight_decay, multiplied where several patterns match, and freeze",
    )
    device: str = option(
        "auto",
        "where to compute: cpu, cuda, cuda:1 (one of several by its number), mps; auto: cuda if there is one, else cpu",
        "speed",
    )
    precision: str = option(
        "float32",
        "floating-point type; bf16: forward and backward passes in bfloat16 (autocast), tf32: matrix products and "
        "convolutions on a GPU with factors of 10 bits, everything else in float32",
        choices=("float32", "float64", "bf16", "tf32"),
    )
    deterministic: bool = option(False, "use only deterministic algorithms of torch")
    engine: str = option(
        "auto",
        "how updates are computed: eager (torch), graph (on a GPU: one is recorded, and replayed), fused (the update "
        "rule in one compiled pass, for large networks), inductor (the network by torch.compile), compiled (many "
        "updates per call; on a CPU these need a C++ compiler), or auto, which fuses or compiles where that is faster",
        "speed",
        choices=("auto", "eager", "graph", "fused", "inductor", "compiled"),
    )
    sharded: bool = option(
        False,
        "under torchrun, have each rank keep the optimizer's state, and make the update, of its part of the weights "
        "(ZeRO-1), to save memory",
        "speed",
    )
    accumulate: int = option(1, "micro-batches per update (gradient accumulation), to save memory", minimum=1)
    drop_last: bool = option(False, "skip the last batch of an epoch if it is smaller than bs")
    on_divergence: str = option(
        "stop",
        "when loss, gradient or weights are no longer finite: stop the run, skip the update, or restore the best "
        "weights and halve the learning rate (at most ten times)",
        per_row=True,
        choices=("stop", "skip_step", "restore_and_halve_lr"),
    )
    metrics: list[Any] = option(
        [],
        "functions that are measured on the splits after each epoch, beside the head's metrics: names of "
        "sklearn.metrics, or of a module of your own, such as mine.profit, called with true and predicted values; "
        "with arguments {_target_: fbeta_score, beta: 2}",
        "launch",
    )
    monitor: str | None = option(
        None,
        "number by which epochs and runs are compared, such as val_accuracy; null: the loss on the validation split, "
        "without one on the training split",
    )
    monitor_mode: str = option(
        "auto", "whether less (min) or more (max) of it is better; auto: by its name", choices=("auto", "min", "max")
    )
    debug: Debug = field(default_factory=Debug)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    budget: Budget = field(default_factory=Budget)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    callbacks: dict[str, Any] = option(
        {},
        "callbacks of your own: names, such as [mine], with the keys callbacks.mine.<key>, or any class by "
        "callbacks.<name>._target_",
        per_row=True,
    )
    logger: dict[str, Any] = option(
        {}, "other programs that are told of the run, each with keys logger.<name>.<key>", "launch", per_row=True
    )
    tensorboard: bool = option(True, "write TensorBoard events", "launch", per_row=True)
    watch: Watch = field(default_factory=Watch)
    figures: str = option(
        "auto",
        "draw figures and report.html at the end; auto: for a single run and for a sweep as a whole; always: for each "
        "run of a sweep, too",
        "launch",
        choices=("auto", "always", "never"),
    )
    report_figures: list[str] = option(
        [],
        "figures with which the report begins, each of one idea; []: those alone that suit any run",
        "launch",
        choices=FIGURES,
    )
    resume: str | None = option(
        None,
        "continue the run in this folder from its last checkpoint",
        "launch",
        per_row=True,
        saved=False,
        is_path=True,
    )
    trust: bool = option(
        False,
        "import and run what a run's config or a file of --config-dir names: a model of your own, Hydra's callbacks",
        "launch",
        per_row=True,
        saved=False,
    )
    parts: list[str] = option(
        [], "parts of your own: modules, by name, or files, such as parts.py, by their path", "launch", is_path=True
    )
    profile: bool = option(
        False, "show where the time goes, and write a trace of some updates to profile.json", "launch"
    )
    quiet: bool = option(False, "print only warnings and errors", "launch", per_row=True)

    @property
    def member_count(self) -> int:
        """How many members the run has. Raises `ConfigError` where `members` and `folds` both say it."""
        if self.folds and self.members > 1:
            raise ConfigError(
                f"members={self.members} and folds={self.folds}: a run has a member for each fold; leave out one of "
                "the two."
            )
        return self.folds or self.members

    @property
    def members_key(self) -> str:
        """The key that says how many members there are, with its value."""
        return f"folds={self.folds}" if self.folds else f"members={self.members}"

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights, state and data."""
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def autocast(self) -> torch.dtype | None:
        """The type in which the forward and backward passes compute, if it is another one."""
        return torch.bfloat16 if self.precision == "bf16" else None

    def batch_size(self, n: int) -> int:
        """Samples per update when there are n training samples.

        Raises `ConfigError` unless `bs` is a positive integer or `full`.
        """
        if self.bs == "full":
            return n
        if not isinstance(self.bs, int) or isinstance(self.bs, bool) or self.bs < 1:
            raise ConfigError(f"bs={self.bs}: bs must be a positive integer, or full for the whole training split.")
        return min(self.bs, n)
