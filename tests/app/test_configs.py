"""Every option is documented where a person looks for it, and every choice composes."""

import dataclasses

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import nettrain
from nettrain.app.help import help_text
from nettrain.config.build import load_config, saved_container, to_config
from nettrain.config.overrides import overrides_of, with_module
from nettrain.config.saved_configs import load_configs
from nettrain.config.schema import GROUPS, config_folder, parts, register
from nettrain.config.settings import Settings
from nettrain.hydra_versions import main_options
from nettrain.registry import options

PARTS = [(group, name) for group in GROUPS for name in parts(group)]


def composed(*overrides):
    register()
    with initialize_config_dir(str(config_folder()), **main_options()):
        return compose("train", list(overrides))


def keys(part):
    return {field.name for field in dataclasses.fields(part)} - {"name"}


def documented(path):
    """The comments of a yaml as one text."""
    lines = path.read_text().splitlines()
    return " ".join(" ".join(line[1:] for line in lines if line.startswith("#")).split())


@pytest.mark.parametrize(("group", "name"), PARTS)
def test_a_part_has_a_yaml_that_documents_each_of_its_options(group, name):
    path = config_folder() / group / f"{name}.yaml"
    for key, field in options(parts(group)[name]).items():
        assert f"{key} {'' if group == 'activation' else field.metadata['help']}" in documented(path)
    assert f"/schema/{group}/{name}@" in path.read_text()


def test_there_is_no_yaml_without_a_part():
    for group in GROUPS:
        assert {path.stem for path in (config_folder() / group).glob("*.yaml")} == set(parts(group))


def test_the_root_documents_every_setting():
    for key, field in options(Settings).items():
        assert f"{key} {field.metadata['help']}" in documented(config_folder() / "train.yaml")


@pytest.mark.sample(8)
@pytest.mark.parametrize(("group", "name"), PARTS)
def test_the_help_lists_every_key_of_a_part(group, name):
    text = help_text([f"{group}={name}"])
    for key in keys(parts(group)[name]):
        assert f"  {group}.{key}=" in text


@pytest.mark.sample(8)
@pytest.mark.parametrize(("group", "name"), PARTS)
def test_a_choice_composes_to_the_part_with_its_own_defaults(group, name):
    given = {
        "csv": ["data.path=a.csv", "data.target=y"],
        "frame": ["data.target=y"],
        "npz": ["data.path=a.npz"],
        "sql": ["data.query=select 1", "data.target=y"],
        "images": ["data.path=pictures"],
        "module": ["model._target_=torch.nn.Linear"],
        **{name: ["split.column=y"] for name in ("group", "time", "column")},
        "torch": [f"{group}._target_=torch.optim.SGD"],
    }
    config = to_config(composed(*with_module([f"{group}={name}", *given.get(name, [])])))
    part = getattr(config, group)
    assert type(part) is parts(group)[name]
    if name not in given:
        assert part == parts(group)[name]()


def test_a_config_survives_being_saved_and_read():
    config = to_config(composed("optimizer=momentum", "optimizer.lr=0.3", "data=wine", "schedule=plateau", "bs=full"))
    text = OmegaConf.to_yaml(OmegaConf.create(saved_container(config)))
    assert load_config(OmegaConf.to_container(OmegaConf.create(text))) == config


def test_many_saved_configs_are_read_as_each_of_them_alone():
    lists = ["seed=1", "seed=2 optimizer.lr=0.5", "optimizer=sgd optimizer.lr=0.3", "model.hidden=[7,7]"]
    lists += ["seed=3 bs=full model.dropout=0.5", "optimizer=sgd seed=4", "data=wine precision=float64", "data=wine"]
    containers = [saved_container(to_config(composed(*words.split()))) for words in lists]
    together = list(load_configs(containers))
    assert together == [load_config(container) for container in containers]
    assert [saved_container(config) for config in together] == containers


def test_a_mapping_is_a_list_of_overrides():
    mapping = {"optimizer": {"name": "adam", "lr": 0.1}, "bs": "full", "data.split_seed": None, "model.hidden": [3, 4]}
    assert overrides_of(mapping) == [
        "optimizer=adam",
        "optimizer.lr=0.1",
        "bs='full'",
        "data.split_seed=null",
        "model.hidden=[3,4]",
    ]


def test_a_folder_of_one_s_own_joins_the_configs(command, tmp_path):
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    (tmp_path / "mine" / "optimizer" / "fast.yaml").write_text("defaults: [/schema/optimizer/adam@_here_]\nlr: 0.05\n")
    ended = command("--config-dir", "mine", "optimizer=fast", "data=iris", "epochs=1", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert nettrain.Run(tmp_path / "run").config.optimizer.lr == 0.05


def test_a_module_of_one_s_own_beside_a_folder_of_one_s_own(command, tmp_path):
    (tmp_path / "mine").mkdir()
    options = "--config-dir", "mine"
    ended = command(*options, "data=iris", "model._target_=torch.nn.Linear", "epochs=1", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert nettrain.Run(tmp_path / "run").config.model.name == "module"


@pytest.mark.sample(2)
@pytest.mark.parametrize("model", ["model.hidden=[3,4]", "model._target_=torch.nn.Linear model.bias=false"])
def test_a_run_s_config_is_a_config_for_another_run(command, tmp_path, model):
    assert command("data=iris", *model.split(), "epochs=2", "optimizer=sgd", "hydra.run.dir=one").code == 0
    saved = "--config-dir", "one/.hydra", "--config-name", "config"
    assert command(*saved, "hydra.run.dir=again").code == 0
    one, again = nettrain.Run(tmp_path / "one"), nettrain.Run(tmp_path / "again")
    assert again.config == one.config
    assert again.metrics.drop(columns="seconds").equals(one.metrics.drop(columns="seconds"))
    assert command(*saved, "-m", "seed=1,2", "optimizer.lr=0.3", "hydra.sweep.dir=sweep").code == 0
    swept = nettrain.Run(tmp_path / "sweep" / "1").config
    assert (swept.seed, swept.optimizer.lr) == (2, 0.3)


def test_a_root_config_of_one_s_own_is_left_to_hydra(command, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "short.yaml").write_text(
        "defaults: [train, _self_]\nepochs: 1\nmodel: {name: mlp, hidden: [3]}\n"
    )
    ended = command("--config-dir", "mine", "--config-name", "short", "data=iris", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert nettrain.Run(tmp_path / "run").summary["epochs"] == 1


@pytest.mark.parametrize("name", ["täble.csv", "a=b.csv", "with space.csv", "~x.csv"])
def test_any_path_can_be_typed(command, tmp_path, name):
    (tmp_path / name).write_text("x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)))
    ended = command(
        "data=csv", "recipe=plain", f"data.path={tmp_path / name}", "data.target=y", "epochs=1", "quiet=true"
    )
    assert (ended.code, ended.err) == (0, "")


def test_the_flag_of_a_sweep_may_stand_anywhere(command, tmp_path):
    ended = command("data=iris", "-m", "epochs=1,2", "quiet=true", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "sweep").iterdir()} >= {"0", "1"}


def test_a_config_from_before_splits_were_parts_is_read(command, tmp_path):
    config = to_config(composed("data=iris"))
    container = saved_container(config)
    del container["split"]
    assert load_config(container) == config
    assert command("data=iris", "epochs=1", "hydra.run.dir=run").code == 0
    path = tmp_path / "run" / ".hydra" / "config.yaml"
    saved = OmegaConf.load(path)
    del saved["split"]
    path.write_text(OmegaConf.to_yaml(saved))
    assert "there is nothing left to do" in command("resume=run", "split=stratified").out
    assert command("resume=run", "epochs=2").code == 0
    assert nettrain.Run(tmp_path / "run").summary["epochs"] == 2
    assert "the run's own split=stratified" in command("resume=run", "split=random").err
