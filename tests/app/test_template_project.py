"""A project laid out as lightning-hydra-template has it: its model files work as they are."""

import textwrap

import pytest

import nettrain
from nettrain.storage.checkpoint_files import load_checkpoint

FILES = {
    "src/__init__.py": "",
    "src/models/__init__.py": "",
    "src/models/components/__init__.py": "",
    "src/models/iris_module.py": "raise RuntimeError('the class of the LightningModule is imported')\n",
    "src/models/components/dense.py": """
        from torch import nn

        class Dense(nn.Module):
            def __init__(self, input_size=784, lin1_size=256, output_size=10):
                super().__init__()
                self.model = nn.Sequential(
                    nn.Linear(input_size, lin1_size), nn.ReLU(), nn.Linear(lin1_size, output_size)
                )

            def forward(self, x):
                return self.model(x.view(x.size(0), -1))
        """,
    "configs/model/iris.yaml": """
        _target_: src.models.iris_module.IrisLitModule

        optimizer:
          _target_: torch.optim.Adam
          _partial_: true
          lr: 0.02
          weight_decay: 0.0

        scheduler:
          _target_: torch.optim.lr_scheduler.ReduceLROnPlateau
          _partial_: true
          mode: min
          factor: 0.1
          patience: 10

        net:
          _target_: src.models.components.dense.Dense
          input_size: 4
          lin1_size: 8
          output_size: 3

        # compile model for faster training with pytorch 2.0
        compile: false
        """,
    "configs/experiment/small.yaml": """
        # @package _global_
        defaults:
          - override /data: iris
          - override /model: iris
          - override /schedule: cosine
        epochs: 2
        model:
          optimizer:
            lr: 0.004
          net:
            lin1_size: 5
        """,
}
QUICK = ["figures=never", "tensorboard=false"]


@pytest.fixture
def project(command, tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())

    def run(*arguments, folder="run"):
        ended = command("--config-dir", "configs", *QUICK, *arguments, f"hydra.run.dir={folder}")
        assert ended.code == 0, ended.err
        return nettrain.Run(tmp_path / folder, trust=True), ended.out

    return run


def test_a_model_file_works_as_it_is(project):
    run, out = project("data=iris", "model=iris", "epochs=3")
    config = run.config
    assert config.model == {
        "name": "module",
        "_target_": "src.models.components.dense.Dense",
        "input_size": 4,
        "lin1_size": 8,
        "output_size": 3,
    }
    assert (config.optimizer._target_, config.optimizer.lr) == ("torch.optim.Adam", 0.02)
    assert (config.schedule._target_, config.schedule.patience) == ("torch.optim.lr_scheduler.ReduceLROnPlateau", 10)
    assert set(load_checkpoint(run.folder / "checkpoints" / "last.pt")["optimizer"]["state_dict"]) == {
        "state",
        "param_groups",
    }
    (note,) = [line for line in out.splitlines() if "of its file" in line]
    assert note.removeprefix("note").strip() == (
        "model: of its file its net src.models.components.dense.Dense is trained with its optimizer torch.optim.Adam "
        "with its scheduler torch.optim.lr_scheduler.ReduceLROnPlateau; not used: src.models.iris_module.IrisLitModule "
        "and compile=false."
    )


def test_keys_of_the_file_are_set_where_they_are(project):
    run, _ = project("data=iris", "model=iris", "epochs=1", "model.optimizer.lr=0.5", "model.net.lin1_size=6")
    assert (run.config.optimizer.lr, run.config.model.lin1_size) == (0.5, 6)


def test_what_the_command_line_chooses_comes_first(project):
    run, out = project("data=iris", "model=iris", "epochs=1", "optimizer=adam", "schedule=constant")
    assert (run.config.optimizer.name, run.config.schedule.name) == ("adam", "constant")
    assert "not used: src.models.iris_module.IrisLitModule, its optimizer torch.optim.Adam, its scheduler" in out


def test_an_experiment_s_choices_come_first(project):
    run, _ = project("experiment=small")
    assert (run.config.optimizer.lr, run.config.model.lin1_size, run.config.schedule.name) == (0.004, 5, "cosine")


def test_a_sweep_and_a_resume_of_such_a_project(project, command, tmp_path):
    ended = command(
        "--config-dir",
        "configs",
        "-m",
        *QUICK,
        "data=iris",
        "model=iris",
        "epochs=1",
        "model.optimizer.lr=0.1,0.01",
        "hydra.sweep.dir=sweep",
    )
    assert ended.code == 0, ended.err
    runs = [nettrain.Run(tmp_path / "sweep" / i, trust=True) for i in "01"]
    assert [run.config.optimizer.lr for run in runs] == [0.1, 0.01]
    assert command("resume=sweep/0", "epochs=2").code == 2  # its net is somebody's code
    assert command("resume=sweep/0", "epochs=2", "trust=true").code == 0


def test_a_module_that_has_a_net_of_its_own_is_left_as_it_is(command, tmp_path, monkeypatch):
    (tmp_path / "wrapping.py").write_text("def wrapped(net):\n    return net\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "configs" / "model").mkdir(parents=True)
    text = "_target_: wrapping.wrapped\nnet:\n  _target_: torch.nn.Linear\n  in_features: 4\n  out_features: 3\n"
    (tmp_path / "configs" / "model" / "wrapped.yaml").write_text(text)
    ended = command("--config-dir", "configs", *QUICK, "data=iris", "model=wrapped", "epochs=1", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert nettrain.Run(tmp_path / "run", trust=True).config.model._target_ == "wrapping.wrapped"
