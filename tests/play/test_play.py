"""What the page is told: the numbers of the command line, and what the runs give where it looks at them."""

import base64
import re

import numpy as np
import pandas as pd
import pytest
from serving import overrides_of, serving

import nettrain
from nettrain.errors import Mistake
from nettrain.play.session import Session, Setting

QUIET = ["quiet=true", "tensorboard=false", "figures=never"]
MOONS = "data=moons data.samples=60 model.hidden=[4,3] activation=tanh bs=16 epochs=6"
PARABOLA = "data=quadratic model=polynomial optimizer=sgd optimizer.lr=0.1 epochs=4"


def session_of(*lanes, seeds=1):
    return Session(Setting([lane.split() for lane in lanes], seeds))


def trained(overrides, folder):
    return nettrain.train([*overrides, *QUIET], folder=folder)


def losses(history):
    return np.array([row[1:3] for row in history], float)


@pytest.mark.parametrize(
    "setting",
    [
        f"{MOONS} optimizer=adam optimizer.lr=0.03 model.dropout=0.2",
        f"{MOONS} optimizer=momentum schedule=cosine optimizer.weight_decay=0.01 seed=5",
        f"{MOONS} optimizer=lbfgs bs=full",
        f"{MOONS} optimizer=cma_es bs=full",
        f"{MOONS} optimizer=adam engine=compiled",
        PARABOLA,
        "data=sine head=normal model.hidden=[5] epochs=3 data.numbers=piecewise",
    ],
)
def test_the_command_gives_the_numbers_of_the_page(here, setting):
    """Whatever steps the page has made: an update, the rest of the epoch, all that is left."""
    with serving() as page:
        answer = page.start(setting)
        ask = {"session": answer["session"]}
        rows = []
        for much in ({"updates": 1}, {"epochs": 1}, {"updates": 3}, {"epochs": 50}):
            frame = page.ask("advance", **ask, **much, known=[len(rows)])
            rows += frame["lanes"][0]["history"]
    assert not frame["running"]
    run = trained(overrides_of(answer["problem"]["lanes"][0]["command"]), here / "run")
    expected = run.metrics
    columns = answer["problem"]["lanes"][0]["columns"]
    assert len(rows) == len(expected) == run.config["epochs"]
    np.testing.assert_array_equal(np.array(rows, float)[:, 1:], expected[columns].to_numpy())
    assert frame["lanes"][0]["counts"]["updates"] == run.summary["updates"]


def test_a_race_begins_at_one_start_and_each_lane_is_its_own_command(here):
    lanes = [f"{MOONS} optimizer=sgd", f"{MOONS} optimizer=adam optimizer.lr=0.1", f"{MOONS} optimizer=bfgs bs=full"]
    session = session_of(*lanes)
    starts = [lane.first_weights() for lane in session.lanes]
    assert all((start == starts[0]).all() for start in starts)
    session.advance_epochs(6)
    for i, (lane, command) in enumerate(zip(session.lanes, session.commands, strict=True)):
        run = trained(overrides_of(command), here / str(i))
        np.testing.assert_array_equal(losses(lane.history), run.metrics[["train_loss", "val_loss"]])
    assert len({lane.history[-1][2] for lane in session.lanes}) == 3


def test_lanes_stay_together_while_they_make_single_updates():
    session = session_of(f"{MOONS} optimizer=sgd", f"{MOONS} optimizer=adam")
    for _ in range(4):
        session.advance_update()
    assert [lane.trainer.counters.updates for lane in session.lanes] == [4, 4]


def test_lanes_race_on_the_same_data_alone():
    with pytest.raises(Mistake, match="same data"):
        session_of(MOONS, MOONS.replace("60", "80"))


def test_seeds_are_rows_of_one_stack_with_the_numbers_of_runs_alone(here):
    """In float64, where a run alone has the digits of a row."""
    setting = f"{MOONS} precision=float64 optimizer=adam optimizer.lr=0.05 seed=3 model.dropout=0.1"
    session = session_of(setting, seeds=4)
    (lane,) = session.lanes
    assert lane.trainer.stack.w.shape[0] == 4
    session.advance_update()
    session.advance_epochs(6)
    sweep = nettrain.sweep([*overrides_of(session.commands[0])[1:], *QUIET], folder=here / "sweep")
    assert len(sweep.runs) == 4
    for seed, state in zip(range(3, 7), lane.trainer.states, strict=True):
        run = trained([*setting.split(), f"seed={seed}"], here / str(seed))
        assert state.last["val_loss"] == run.summary["val_loss"] == sweep.runs[seed - 3].summary["val_loss"]
    last = lane.history[-1][2]
    np.testing.assert_allclose(last[0], min(state.last["val_loss"] for state in lane.trainer.states))
    np.testing.assert_allclose(last[2], np.median([state.last["val_loss"] for state in lane.trainer.states]))


def test_a_seed_that_diverges_leaves_the_others_training():
    session = session_of("data=quadratic model=polynomial optimizer=sgd optimizer.lr=0.95 bs=8 epochs=60", seeds=24)
    session.advance_epochs(60)
    (lane,) = session.lanes
    ended = [state.status for state in lane.trainer.states]
    assert {"diverged", "completed"} == set(ended)
    weights = lane.weights.numpy()
    for state, w in zip(lane.trainer.states, weights, strict=True):
        assert np.isfinite(w).all() or state.status == "diverged"


def test_solvers_have_one_seed():
    with pytest.raises(Mistake, match="optimizer=newton trains alone"):
        session_of(f"{MOONS} optimizer=newton bs=full", seeds=8)


@pytest.mark.parametrize(
    "wrong", ["optimizer.lr=x", "optimizer.lrr=1", "activation=tan", "bs=0", "model.hidden=[0]", "head=normal"]
)
def test_a_bad_value_is_said_in_nettrains_own_words(here, wrong):
    with serving() as page:
        answer = page.start(f"{MOONS} {wrong}")
    assert page.status == 400
    with pytest.raises(Mistake) as told:
        trained([*MOONS.split(), wrong], here / "run")
    assert answer == {"error": str(told.value)}


def field(lane_frame, size):
    values = np.frombuffer(base64.b64decode(lane_frame["picture"]["value"]), np.uint8)
    return values.reshape(size, size) / 255


def test_the_picture_is_what_the_run_predicts(here):
    with serving() as page:
        answer = page.start(MOONS)
        frame = page.ask("advance", session=answer["session"], epochs=6)
    problem = answer["problem"]
    run = trained(MOONS.split(), here / "run")
    a, b = (np.linspace(*limits, problem["size"]) for limits in problem["box"]["inputs"])
    grid = pd.DataFrame([(x1, x2) for x2 in b for x1 in a], columns=["x1", "x2"])
    expected = run.predict(grid)[f"probability_{problem['classes'][1]}"].to_numpy()
    temperature = run.summary.get("temperature", 1.0)  # by which predictions are divided, and the page's are not
    logits = np.log(expected / (1 - expected)) * temperature
    shown = field(frame["lanes"][0], problem["size"]).ravel()
    np.testing.assert_allclose(shown, 1 / (1 + np.exp(-logits)), atol=0.003)


def test_hidden_units_are_what_their_weights_make_of_the_inputs():
    session = session_of(MOONS.replace("activation=tanh", "activation=sigmoid"))
    session.advance_epochs(2)
    (lane,) = session.lanes
    view = lane.view(session.box, 9)
    x, weights = view.inputs(), lane.trainer.stack.objective.layout.views(lane.weights[0])
    points, encoder = session.box.grid(9), lane.runs[0].data.encoder
    assert points[:9, 1].tolist() == [session.box.inputs[1][0]] * 9  # row by row from the bottom
    means, scales = ([getattr(column, what) for column in encoder.columns] for what in ("mean", "scale"))
    np.testing.assert_allclose(x, (points - means) / scales, rtol=1e-5)
    for depth, values in enumerate(view.hidden(lane.weights)):
        z = x @ weights[f"layers.{depth}.weight"].numpy().T + weights[f"layers.{depth}.bias"].numpy()
        x = 1 / (1 + np.exp(-z))
        np.testing.assert_allclose(values, x, atol=1e-5)


def test_the_batches_of_an_epoch_are_all_training_samples_once(here):
    session = session_of(MOONS)
    (lane,) = session.lanes
    session.advance_update()
    first_losses, first = lane.trainer.batches()
    assert len(first) == 16
    assert len(first_losses) == 1
    session.advance_epochs(1)
    each, order = lane.trainer.batches()
    assert order[:16].tolist() == first.tolist()
    assert each[0] == first_losses[0]
    samples = len(lane.runs[0].data.splits["train"])
    assert sorted(order.tolist()) == list(range(samples))
    sizes = [min(16, samples - start) for start in range(0, samples, 16)]
    assert np.average(each, weights=sizes) == pytest.approx(lane.history[-1][1], rel=1e-6)


def test_the_surface_is_the_training_loss_with_the_least_squares_in_its_valley():
    with serving() as page:
        answer = page.start(PARABOLA)
        frame = page.ask("advance", session=answer["session"], epochs=2)
    problem, surface = answer["problem"], frame["surface"]
    train = problem["train"]
    x, y = np.array(problem["x"])[train, 0], np.array(problem["y"])[train]
    powers = np.stack([x**2, x, np.ones_like(x)], axis=1)
    best = np.linalg.lstsq(powers, y, rcond=None)[0]
    np.testing.assert_allclose(surface["minimum"], best[:2], atol=0.02)
    a, b = (np.linspace(*surface[name], surface["size"]) for name in "ab")
    third = surface["third"][1]
    errors = powers @ np.stack([a[3], b[5], third]) - y
    of_squares = surface["loss"][5 * surface["size"] + 3] / np.mean(errors**2)
    other = powers @ np.stack([a[30], b[20], third]) - y
    assert of_squares == pytest.approx(surface["loss"][20 * surface["size"] + 30] / np.mean(other**2), rel=1e-3)
    assert len(surface["paths"][0]) == 1 + 2 * problem["lanes"][0]["updates_per_epoch"]


def test_models_with_many_weights_have_no_surface():
    with serving() as page:
        assert page.start(MOONS)["frame"]["surface"] is None


def test_a_drawing_becomes_a_table_that_the_command_reads(here):
    generator = np.random.default_rng(0)
    points = [[*(generator.normal(size=2) * 0.3 + c - 0.5).tolist(), c] for c in (0, 1) for _ in range(20)]
    with serving() as page:
        table = page.ask("table", points=points, classes=True)
        setting = f"data=csv data.path={table['path']} data.target=class recipe=plain model.hidden=[3] epochs=3"
        answer = page.start(setting)
        frame = page.ask("advance", session=answer["session"], epochs=3)
    assert answer["problem"]["classes"] == ["A", "B"]
    run = trained(overrides_of(answer["problem"]["lanes"][0]["command"]), here / "run")
    np.testing.assert_array_equal(
        losses(frame["lanes"][0]["history"]), run.metrics[["train_loss", "val_loss"]].to_numpy()
    )


def test_two_columns_of_a_shipped_table(here):
    with serving() as page:
        table = page.ask("table", shipped="iris")
        names = [column["name"] for column in table["columns"]]
        left_out = ",".join(f"'{name}'" for name in names[:2])
        words = ["data=csv", f"data.path={table['path']}", f"data.target={names[-1]}", f"data.drop=[{left_out}]"]
        answer = page.ask("start", lanes=[[*words, "recipe=plain", "epochs=1"]])
    assert answer["problem"]["inputs"] == names[2:4]
    assert len(answer["problem"]["classes"]) == 3
    assert [column["number"] for column in table["columns"]] == [True] * 4 + [False]
    lane = answer["frame"]["lanes"][0]["picture"]
    chosen = np.frombuffer(base64.b64decode(lane["class"]), np.uint8)
    assert len(chosen) == answer["problem"]["size"] ** 2
    assert set(chosen) <= {0, 1, 2}


def test_tables_that_cannot_be_drawn_are_refused_in_a_sentence(here):
    (here / "wide.csv").write_text("a,b,c,y\n" + "".join(f"{i},{i % 3},{i % 5},{i % 2}\n" for i in range(40)))
    with serving(here / "wide.csv") as page:
        answer = page.start("data=csv data.path=wide.csv data.target=y recipe=plain")
        assert "choose two columns" in answer["error"]
        bad = page.ask("table", name="bad.csv", content=base64.b64encode(b'"a,b\n1,2').decode())
        assert page.status == 400
        assert re.fullmatch(r"[^\n]+\.", bad["error"])
        assert "its name must end in" in page.ask("table", name="x.exe", content="")["error"]


def test_a_curve_has_a_band_where_its_head_fits_one():
    with serving() as page:
        normal = page.start("data=sine head=normal epochs=1")["frame"]["lanes"][0]["picture"]["curves"][0]
        plain = page.start("data=sine epochs=1")["frame"]["lanes"][0]["picture"]["curves"][0]
    middle, low, high = map(np.array, normal)
    assert (low < middle).all()
    assert (middle < high).all()
    assert len(plain) == 1
