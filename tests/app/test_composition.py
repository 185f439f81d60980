"""A sweep's jobs composed by copying equal Hydra's own composition, job by job."""

import itertools

import pytest
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nettrain.config.compose import Composer
from nettrain.config.schema import GROUPS, config_folder, parts, register
from nettrain.hydra_versions import OLD, Loader
from nettrain.registry import options

JOBS = [
    [],
    ["seed=3"],
    ["optimizer=sgd"],
    ["optimizer.lr=0.5", "optimizer=sgd", "seed=1"],
    ["optimizer=momentum", "optimizer.momentum=0.5", "model.hidden=[8,8]"],
    ["optimizer=lbfgs", "bs=16"],
    ["experiment=quadratic_sgd", "optimizer.lr=0.01", "epochs=3"],
    ["model=module", "++model._target_=torch.nn.Linear", "seed=2"],
    ["seed=2", "++model.hidden=[4]", "model.hidden=[5]", "++model.hidden=[6]", "model.dropout=0.5"],
    ["early_stopping={patience:3}", "early_stopping.patience=4"],
    ["data=csv", "data.path='a b.csv'", "data.target=y"],
    ["hydra.job.name=other", "seed=4"],
    ["hydra.sweep.subdir=${hydra.job.override_dirname}", "seed=4"],
    ["bs=full", "precision=float64"],
    ["seed=${epochs}"],
    ["model=module", "++model.x=1", "seed=5", "~model.x"],
]
WRONG = [
    ["optimizer.lrr=1"],
    ["sed=1"],
    ["optimizer=adm"],
    ["epochs=ten"],
    ["~optimizer.lr"],
    ["optimizer=sgd", "optimizer.beta1=0.5"],
    ["seed=1,2"],
]


@pytest.fixture(scope="module")
def loader():
    register()
    setup_globals()
    return Loader(config_folder())


@pytest.fixture(scope="module")
def master(loader):
    return loader.load_configuration("train", ["hydra.run.dir=x"], RunMode.MULTIRUN)


def assert_equal_to_hydras(composer, overrides):
    theirs = composer.loader.load_sweep_config(composer.master, list(overrides))
    ours = composer.compose(overrides)
    expected = OmegaConf.to_container(theirs, enum_to_str=True)
    assert {**OmegaConf.to_container(ours.task), "hydra": ours.hydra} == expected
    del expected["hydra"]
    assert OmegaConf.get_type(ours.task) is OmegaConf.get_type(theirs)
    for key in expected:
        assert OmegaConf.get_type(ours.task, key) is OmegaConf.get_type(theirs, key), key


@pytest.mark.sample(3)
@pytest.mark.parametrize("overrides", JOBS, ids=" ".join)
def test_a_job_composed_after_others_equals_hydras(loader, master, overrides):
    composer = Composer(loader, master)
    for other in JOBS[:5]:
        composer.compose(other)
    assert_equal_to_hydras(composer, overrides)


@pytest.mark.parametrize("overrides", WRONG, ids=" ".join)
def test_a_mistake_is_hydras_mistake(loader, master, overrides):
    composer = Composer(loader, master)
    with pytest.raises(HydraException) as theirs:
        loader.load_sweep_config(master, list(overrides))
    with pytest.raises(HydraException) as ours:
        composer.compose(overrides)
    assert str(ours.value) == str(theirs.value)


VALUES = [
    st.sampled_from(["optimizer=sgd", "optimizer=adam", "optimizer=newton", "activation=tanh", "schedule=cosine"]),
    st.integers(0, 9).map("seed={}".format),
    st.floats(1e-4, 1).map("optimizer.weight_decay={}".format),
    st.sampled_from(["model.hidden=[3]", "++model.hidden=[4]", "early_stopping.patience=2", "budget.seconds=null"]),
]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.one_of(VALUES), max_size=6))
def test_any_order_of_overrides_gives_hydras_config(loader, master, overrides):
    try:
        loader.load_sweep_config(master, list(overrides))
    except HydraException:
        return
    assert_equal_to_hydras(Composer(loader, master), overrides)


def test_hydra_composes_once_for_each_choice_of_groups(loader, master):
    composer = Composer(loader, master)
    for name, lr, seed in itertools.product(["sgd", "adam"], [0.1, 0.2], range(5)):
        composer.compose([f"optimizer={name}", f"optimizer.lr={lr}", f"seed={seed}"])
    assert len(composer.composed) == 2


OPTIONS = [
    *(f"{group}={name}" for group in GROUPS for name in parts(group)),
    "experiment=course/parabola",
    *(["hydra/sweeper=tpe"] if OLD else []),  # in Hydra 1.4 no job may choose it
]


@pytest.mark.sample(8)
@pytest.mark.parametrize("choice", OPTIONS)
def test_hydra_composes_once_whatever_the_values_of_a_part(loader, master, choice):
    """Values of its keys, texts and lists among them, never make another composition."""
    needed = {"data=csv": ["data.path='a b.csv'", "data.target=y", "data.drop=[a]"]}
    module = ["++model._target_=torch.nn.Linear"] if choice == "model=module" else []
    group, _, name = choice.partition("=")
    keys = options(parts(group)[name], f"{group}.") if group in GROUPS else {}
    numbers = [key for key, field in keys.items() if field.type in (float, int)]
    composer = Composer(loader, master)
    for seed, value in itertools.product(range(2), (1, 2)):
        values = [*needed.get(choice, []), *(f"{key}={value}" for key in numbers), f"seed={seed}", "bs=full"]
        composer.compose([choice, *module, *values])
    assert len(composer.composed) == 1
