"""What people type becomes what Hydra reads: keys that hold text take it as it is typed."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from nettrain.config.overrides import for_hydra

SIGNS = st.sampled_from(list("ab01._-/ ,:;=+~@%&!?#()[]{}'\"\\éß漢😀"))
TEXTS = st.one_of(
    st.text(SIGNS, min_size=1, max_size=12),
    st.sampled_from(["2020_01", "1e5", "nan", "true", "007", "a (1).csv", "it's.csv", "C:\\t\\a.csv", "a,b.csv"]),
)


def parsed(*arguments):
    """The values that Hydra reads."""
    parser = OverridesParser.create()
    return [parser.parse_override(argument) for argument in for_hydra(arguments) if not argument.startswith("-")]


def is_plain(text):
    """Whether a text means itself: it is not null, and stands in no quotes of its own."""
    return text != "null" and not (len(text) > 1 and text[0] in "'\"" and text[0] == text[-1])


@given(TEXTS.filter(is_plain))
def test_a_key_that_holds_text_takes_it_as_it_is_typed(text):
    (override,) = parsed(f"data.path={text}")
    assert override.value() == text


NAMES = st.text(SIGNS, min_size=1, max_size=8).filter(
    lambda text: not set(text) & set(",[]()'\"") and text == text.strip()
)


@given(st.lists(NAMES.filter(is_plain), min_size=1, max_size=4))
@example(["{}"])
@example(["{0}", "{a:0}"])
@example(["{~}"])
def test_a_list_of_texts_takes_them_as_they_are_typed(names):
    (override,) = parsed(f"data.drop=[{', '.join(names)}]")
    assert override.value() == names


@given(st.lists(NAMES.filter(is_plain), min_size=2, max_size=4))
def test_in_a_sweep_commas_separate_texts(names):
    (override,) = parsed("-m", f"data.path={','.join(names)}")
    assert override.is_sweep_override()
    jobs = [f"data.path={value}" for value in override.sweep_string_iterator()]
    assert [OverridesParser.create().parse_override(job).value() for job in jobs] == names


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("data.path='a b.csv'", "a b.csv"),
        ('data.path="a, b.csv"', "a, b.csv"),
        ("resume=null", None),
        ("data.drop=['a, b',c]", ["a, b", "c"]),
        ("data.drop=[]", []),
    ],
)
def test_quotes_and_null_mean_what_they_mean_to_hydra(typed, value):
    (override,) = parsed(typed)
    assert override.value() == value


def test_an_experiment_is_found_without_its_folder(tmp_path):
    (tmp_path / "experiment" / "mine").mkdir(parents=True)
    (tmp_path / "experiment" / "mine" / "first.yaml").touch()
    (tmp_path / "experiment" / "mine" / "parabola.yaml").touch()
    assert for_hydra(["experiment=parabola"]) == ["experiment=course/parabola"]
    assert for_hydra(["experiment=quadratic_sgd"]) == ["experiment=quadratic_sgd"]
    assert for_hydra([f"--config-dir={tmp_path}", "experiment=first"])[1] == "experiment=mine/first"
    assert for_hydra([f"--config-dir={tmp_path}", "experiment=parabola"])[1] == "experiment=parabola"  # there are two
