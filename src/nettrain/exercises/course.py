"""The exercises of the course, by name: `momentum_1` is the first one of the page `momentum`.

What is right is computed wherever it can be, from the data or the formula that the page states.
"""

from nettrain.errors import ConfigError
from nettrain.exercises import descent, methods, networks
from nettrain.exercises.answers import Exercise
from nettrain.wording import did_you_mean

EXERCISES: dict[str, Exercise] = {**descent.EXERCISES, **networks.EXERCISES, **methods.EXERCISES}


def exercise(name: str) -> Exercise:
    """The exercise of this name; `ConfigError` if there is none."""
    if name not in EXERCISES:
        of_page = [known for known in EXERCISES if known.rpartition("_")[0] == name]
        if of_page:
            raise ConfigError(f"{name}: which of its exercises? Choose from {', '.join(of_page)}.")
        raise ConfigError(f"{name}: there is no such exercise{did_you_mean(name, EXERCISES)}")
    return EXERCISES[name]


def overview() -> str:
    """All exercises, a line each, with what they take."""
    width = max(map(len, EXERCISES))
    return "\n".join(f"{name:{width}}  {' '.join(exercise.takes)}" for name, exercise in EXERCISES.items())
