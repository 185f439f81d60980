"""Draw docs/architecture.png: how a config becomes a trained model, and the rooms that it passes."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

PATH = Path(__file__).parents[1] / "docs" / "architecture.png"
BLUE, GREEN, ORANGE, GREY = "#dbe9f6", "#dff0d8", "#fde8cf", "#eeeeee"
# name, what it does, x, y, width, height, colour
BOXES = [
    ("app", "command line, jobs, sweeps", 0.2, 7.0, 2.5, 1.0, BLUE),
    ("config", "compose, build, check, scopes", 3.75, 7.0, 2.6, 1.0, BLUE),
    ("preparation", "PreparedRun", 7.3, 7.0, 2.5, 1.0, BLUE),
    ("training", "Trainer: epochs, early ends, checkpoints", 2.6, 4.9, 4.8, 1.0, GREEN),
    ("training/stack", "weights (K, P), batches, rates", 0.2, 3.2, 2.9, 1.0, GREEN),
    ("training/engines", "advance, forward: eager, compiled, ...", 3.4, 3.2, 3.4, 1.0, GREEN),
    ("training/logging", "metrics.csv, TensorBoard", 7.1, 3.2, 2.7, 1.0, GREEN),
    ("objective", "value, gradient, H v at w", 0.2, 1.5, 2.9, 1.0, ORANGE),
    ("optimizers", "rules, solvers, search", 3.4, 1.5, 2.7, 1.0, ORANGE),
    ("storage", "atomic files, checkpoints, locks", 7.1, 1.5, 2.7, 1.0, GREY),
    ("data, parts", "tables; models, heads, activations", 0.2, 0.0, 2.9, 1.0, ORANGE),
    ("compiler", "recorded operations as C++", 3.4, 0.0, 3.4, 1.0, ORANGE),
    ("results, report, figures", "read back, compare, draw", 7.1, 0.0, 2.7, 1.0, BLUE),
]
ARROWS = [  # from, to, in the order in which a config travels
    ((2.7, 7.5), (3.75, 7.5), "overrides"),
    ((6.35, 7.5), (7.3, 7.5), "Config"),
    ((7.8, 7.0), (6.4, 5.9), "PreparedRun"),
    ((3.6, 4.9), (2.0, 4.2), "rows"),
    ((5.0, 4.9), (5.0, 4.2), "updates"),
    ((6.4, 4.9), (7.6, 4.2), "numbers"),
    ((3.4, 3.5), (2.6, 2.5), "gradient"),
    ((4.75, 3.2), (4.75, 2.5), "rule"),
    ((6.45, 3.2), (6.45, 1.0), "program"),
    ((8.4, 3.2), (8.4, 2.5), "files"),
    ((1.6, 1.5), (1.6, 1.0), ""),
    ((8.4, 1.5), (8.4, 1.0), ""),
]

figure = Figure(figsize=(10, 8), dpi=110)
axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 10), ylim=(-0.2, 8.4))
axes.axis("off")
for name, does, x, y, width, height, color in BOXES:
    box = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12", fc=color, ec="#555555")
    axes.add_patch(box)
    axes.text(x + width / 2, y + 0.64, name, ha="center", va="center", fontsize=13, weight="bold")
    axes.text(x + width / 2, y + 0.28, does, ha="center", va="center", fontsize=9.5)
for start, end, word in ARROWS:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#333333", "lw": 1.4})
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    box = {"fc": "white", "ec": "none", "pad": 1.0}
    if word:
        axes.text(*middle, word, ha="center", va="center", fontsize=9.5, style="italic", bbox=box)
figure.savefig(PATH, metadata={"Software": None})
