"""What the site consists of beside the repository's pages: chapters, the interface, and words."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHAPTERS = {  # what is named in none of them comes at the end of the second one
    "course": [],
    "guide": ["play", "tables", "shapes", "networks", "members", "machines", "files", "extending"],
    "within": [
        "engines",
        "architecture",
        "decisions",
        "reliability",
        "bench",
        "bench-sweep",
        "bench-cluster",
        "bench-tables",
    ],
}
INTERFACE = {
    "train": ["nettrain.train", "nettrain.sweep", "nettrain.Run", "nettrain.Sweep"],
    "minimize": ["nettrain.minimize", "nettrain.minimization.Result"],
    "optim": [f"nettrain.optim.{name}" for name in ("SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "LBFGS")],
    "parts": [
        "nettrain.registry.option",
        "nettrain.optimizers.rules.Rule",
        "nettrain.parts.activations.activation",
        "nettrain.parts.schedules.Schedule",
        "nettrain.parts.heads.Head",
        "nettrain.parts.heads.Loss",
        "nettrain.data.Dataset",
        "nettrain.data.Table",
        "nettrain.data.splitting.Split",
        "nettrain.data.splitting.Partition",
        "nettrain.Callback",
        "nettrain.Logger",
        "nettrain.parts.callbacks.RunView",
    ],
    "testing": [f"nettrain.testing.check_{part}" for part in ("activation", "rule", "schedule", "head", "callback")],
}


SHARED = ["figures", "plot", "metrics"]
MEMBERS = {
    "nettrain.Run": [
        *SHARED,
        "summary",
        "config",
        "model",
        "predict",
        "predict_in_parts",
        "evaluate",
        "classes",
        "data",
        "trajectory",
    ],
    "nettrain.Sweep": [*SHARED, "results", "runs", "best", "heat_map"],
}


@dataclass(frozen=True)
class Language:
    """A language of the site, where its pages are, and the words that no page has."""

    code: str
    name: str
    pages: Path
    words: dict[str, str]


ENGLISH = Language(
    "en",
    "English",
    ROOT / "docs",
    {
        "home": "nettrain",
        "course": "Course",
        "guide": "Guide",
        "within": "How it is built",
        "interface": "Interface",
        "notebook": "This page as a notebook",
        "intro": "What `import nettrain` offers, from the docstrings.",
        "train": "Runs and sweeps",
        "minimize": "Functions of a vector",
        "optim": "Optimizers for your own loop",
        "parts": "Parts of your own",
        "testing": "Checks of parts",
    },
)
SPANISH = Language(
    "es",
    "Español",
    ROOT / "docs" / "es",
    {
        "home": "nettrain",
        "course": "Curso",
        "guide": "Guía",
        "within": "Cómo está hecho",
        "interface": "Interfaz",
        "notebook": "Esta página como notebook",
        "intro": "Lo que ofrece `import nettrain`, a partir de sus docstrings, que están en inglés.",
        "train": "Ejecuciones y barridos",
        "minimize": "Funciones de un vector",
        "optim": "Optimizadores para un bucle propio",
        "parts": "Partes propias",
        "testing": "Comprobaciones de partes",
    },
)
LANGUAGES = [ENGLISH, SPANISH]
SEARCH_WORDS = {  # of zensical's dialog, which it has in English alone
    'placeholder:"Search"': 'placeholder:"Buscar"',
    '"Search is unavailable. Reload the page to try again."': '"La búsqueda no está disponible."',
    '"No results"': '"Sin resultados"',
    '"result":"results"': '"resultado":"resultados"',
    '"Loading search\\u2026"': '"Cargando la búsqueda\\u2026"',
    '"Filters"': '"Filtros"',
    '"Tags"': '"Etiquetas"',
    '"Search results"': '"Resultados de la búsqueda"',
    '"Close search"': '"Cerrar la búsqueda"',
    '"Search"': '"Buscar"',
    '"en-US"': '"es"',
}
