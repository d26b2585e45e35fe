"""Learned policies: toys with a known best policy first, then files, agents, splits and the command line."""

import json
import pickle
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from plastic_env import SGD, Conv, Edit, EpisodeSettings, LearnerSettings, Plan, PlasticVectorEnv
from plastic_env.agents import METHODS
from plastic_env.agents.learned import cma, fixed, ppo
from plastic_env.agents.learned.command import command
from plastic_env.agents.learned.policy import Learned, LearnedAgent, PolicyNetwork
from plastic_env.agents.learned.training import Training, live, twins
from plastic_env.cli import main
from plastic_env.env.encoding import EpisodeSpec
from plastic_env.env.features import Features
from plastic_env.env.menus import Menu, MenuItem, recycling_menu
from plastic_env.errors import AgentError, InvalidSetting, UnknownName
from plastic_env.scenarios import find

pytest.importorskip("cmaes")
pytest.importorskip("stable_baselines3")
from plastic_env.agents.learned.sb3 import PlasticVecEnv  # which imports the latter

ROOT = Path(__file__).parent.parent
RECYCLE = MenuItem("recycle", {"recycle": 0.5, "insertion": "fresh"})


def waiting_pays(outcome):
    """1 for each update without an edit before it, if two were asked for."""
    return float(outcome.stop - outcome.start) * (outcome.plan.edit.empty and outcome.plan.budget == 2)


def editing_at_shifts_pays(outcome):
    """1 for recycling at a shift, which is every other update, and for waiting elsewhere."""
    return float(outcome.plan.edit.births == (outcome.start > 0 and outcome.start % 2 == 0))


TOY = Training(
    "PermutedDigits-small-v0",
    {"tasks": 8, "updates": 2, "batch_size": 2},
    LearnerSettings(hidden=(4, 4)),
    Menu((MenuItem("wait"), RECYCLE), (1,)),
    instances=4,
    validated=4,
    price=0.0,
    rounds=20,
)
TOYS = {
    "waiting": replace(TOY, reward=waiting_pays, menu=replace(TOY.menu, budgets=(1, 2))),
    "at shifts": replace(TOY, reward=editing_at_shifts_pays),
}
SEEN = ("at_shift", "accuracy", "loss")
PPO = ppo.PPOSettings(learners=16, steps=16, batch=64, epochs=8, lr=0.02, unit=16, hidden=(8,), fields=SEEN, judged=10)
CMA = cma.CMASettings(candidates=8, lives=1, fields=SEEN, judged=10)
WAYS = {
    "ppo": lambda training: ppo.train(training, PPO),
    "cma": lambda training: cma.train(training, CMA),
    "cma, logits": lambda training: cma.train(
        training, replace(CMA, head="logits", hidden=(3,), separable=True, patience=0.0)
    ),
}


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("way", WAYS)
def test_toys_with_a_known_best_policy_are_solved(way, toy):
    """Seeds that training has not seen; every decision must be the best one."""
    learned = WAYS[way](TOYS[toy])
    assert learned.record["validation"] == pytest.approx(16)
    env = TOYS[toy].env(4, ())
    agents = [LearnedAgent(learned) for _ in range(4)]
    for agent in agents:
        agent.reset(env.episode, 0)

    def decide(seen, units, members):
        rows = [{name: values[at] for name, values in seen.items()} for at in range(len(members))]
        return [agents[m].act(row, {"live": live}) for m, row, live in zip(members, rows, units, strict=True)]

    returns, _ = live(env, range(4), decide)
    assert returns.tolist() == [16] * 4


def test_the_best_fixed_item_is_found():
    """Where recycling at shifts pays, and waiting elsewhere, that is a fixed policy."""
    learned = fixed.train(TOYS["at shifts"])
    assert learned.record["item"] == "recycle"
    assert learned.record["scores"] == {"wait": 9, "recycle": 16}  # the first of eight tasks begins with no shift
    assert fixed.train(replace(TOY, reward=lambda outcome: float(outcome.plan.edit.empty))).record["item"] == "wait"


@pytest.mark.parametrize("way", [(ppo, PPO), (cma, CMA)], ids=["ppo", "cma"])
def test_same_seed_same_file_bit_for_bit(way, tmp_path):
    module, settings = way
    brief = replace(TOYS["at shifts"], rounds=2, validated=1, changes={**TOY.changes, "tasks": 3})
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        module.train(replace(brief, seed=seed), settings, tmp_path / f"{name}.pt")
    first, again, other = ((tmp_path / f"{name}.pt").read_bytes() for name in "abc")
    assert first == again
    assert first != other


# -- what is learned, on disk and at work


def made(names=("accuracy", "mean.dormant"), menu=None, learner=None, method="ppo", bias=0.0):
    """A policy that nobody has trained: always the last item and the last budget."""
    learner, menu = learner or LearnerSettings(), menu or recycling_menu()
    outputs = sum(menu.sizes)
    weights = np.zeros((outputs, len(names)), dtype=np.float32)
    network = PolicyNetwork(((weights, bias + np.arange(outputs, dtype=np.float32)),), menu.sizes)
    env = PlasticVectorEnv(find("MixedShiftsDigits-small-v0"), 1, EpisodeSettings(learner=learner))
    trained_on = {"scenario": "MixedShiftsDigits-small-v0", "split": "train", "seeds": [10**6, 10**6 + 31]}
    return Learned(method, network, menu, names, env.episode, learner, trained_on, {"rounds": 0})


@pytest.mark.parametrize(
    "learner",
    [
        LearnerSettings(hidden=(Conv(4, editable=False), 12, 8), live=0.5, optimizer=SGD(0.1, momentum=0.9)),
        *(METHODS[name].learner for name in ("layer_norm_l2_init", "cbp", "upgd")),
    ],
)
def test_a_policy_survives_its_file(learner, tmp_path):
    policy = made(("layer1.live", "accuracy"), recycling_menu(optimizer_states=("fresh", "transplant")), learner)
    policy.save(tmp_path / "policy.pt")
    found = Learned.load(tmp_path / "policy.pt")
    assert replace(found, network=policy.network) == policy
    for mine, theirs in zip(found.network.layers[0], policy.network.layers[0], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert torch.load(tmp_path / "policy.pt", weights_only=True).keys() == {"header", "0.weight", "0.bias"}


FOREIGN = {
    "tensor": (torch.zeros(2), "no header of plastic_env"),
    "checkpoint": ({"weight": torch.zeros(2)}, "no header of plastic_env"),
    "another header": ({"header": torch.zeros(2)}, "no header of plastic_env"),
    "header alone": ({"header": "{}"}, "it holds no weights"),
    "no tensors": ({"header": "{}", "0.weight": 1, "0.bias": 2}, "it holds no weights"),
    "header of another": ({"header": "{}", "0.weight": torch.zeros(2), "0.bias": torch.zeros(2)}, "it lacks 'format'"),
    "pickle": ({"header": TOY}, "Weights only load failed"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_files_of_others_are_refused(kind, tmp_path):
    path = tmp_path / "policy.pt"
    content, why = FOREIGN[kind]
    torch.save(content, path)
    with pytest.raises(AgentError, match=f"policy.pt holds no policy.*{why}"):
        Learned.load(path)


@pytest.mark.parametrize("content", [b"", b"nonsense", "cut"])
def test_files_that_hold_no_policy_are_refused(content, tmp_path):
    path = tmp_path / "policy.pt"
    if content == "cut":
        made().save(path)
        path.write_bytes(path.read_bytes()[:700])
    else:
        path.write_bytes(content)
    with pytest.raises(AgentError, match=r"holds no policy|is damaged"):
        Learned.load(path)
    with pytest.raises(AgentError, match="can't be read"):
        Learned.load(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("change", [{"capacity": (64, 32)}, {"max_budget": 10}, {"boundaries": "hidden"}])
def test_a_policy_for_other_spaces_is_refused(change):
    learned = made()
    agent = LearnedAgent(learned)
    agent.reset(replace(learned.episode, updates=17), 0)  # a longer or shorter stream is no other space
    assert b"plastic_env.learner" not in pickle.dumps(vars(agent))  # nothing in it leads to the learner
    with pytest.raises(AgentError, match=f"a policy for other spaces: it was trained with {next(iter(change))}"):
        agent.reset(replace(learned.episode, **change), 0)


def test_ordinal_heads_go_through_the_menu_in_order():
    weight = np.array([[1.0], [-1.0]], dtype=np.float32)
    network = PolicyNetwork(((weight, np.zeros(2, dtype=np.float32)),), (4, 3), "ordinal")
    found = network.choose(np.concatenate([[-1000], np.linspace(-9, 9, 99), [1000]])[:, None])
    assert found[0].tolist() == [0, 2]
    assert found[-1].tolist() == [3, 0]
    assert (np.diff(found[:, 0]) >= 0).all()
    assert set(found[:, 0]) == set(range(4))


def test_compare_runs_a_policy_and_says_what_it_was_trained_on(tmp_path, capsys):
    file, out = tmp_path / "mine.pt", tmp_path / "out"
    made().save(file)
    asked = ["compare", "--scenario", "MixedShiftsDigits-small-v0", "--seeds", "1", "--threads", "1"]
    asked += ["--out", str(out), "--set", "updates=120"]
    assert main([*asked, "--methods", "dense", f"ppo:{file}"]) == 0
    told = capsys.readouterr().out
    assert "ppo_mine was trained on MixedShiftsDigits-small-v0 (split train), seeds 1000000 to 1000031" in told
    assert "That is the split it was trained on" in told
    (result,) = out.glob("ppo_mine-*.parquet")
    table = pq.read_table(result)
    settings = json.loads(table.schema.metadata[b"plastic_env"])
    assert settings["agent"]["trained_on"]["split"] == settings["stream"]["split"] == "train"
    rows = table.to_pydict()
    assert rows["recycle"] == [[58, 58]] * len(rows["start"])  # the last item, always
    made(bias=1.0).save(file)  # which chooses the same, but is another policy
    assert main([*asked, "--methods", f"ppo:{file}"]) == 0
    assert len(list(out.glob("ppo_mine-*.parquet"))) == 2
    capsys.readouterr()
    assert main([*asked, "split=test", "--methods", f"ppo:{file}"]) == 0
    assert "That is the split" not in capsys.readouterr().out
    assert main([*asked, "--methods", f"cma:{file}"]) == 2
    assert "was trained with ppo; name it ppo:" in capsys.readouterr().err


# -- training: the split, twins, the adapter


def test_training_sees_its_own_split_and_seeds_only():
    training = Training("MixedShiftsDigits-small-v0", {"updates": 60}, rounds=1)
    assert training.made_scenario.split == "train"
    assert min(training.seeds + training.validation_seeds) >= 10**6
    assert not set(training.seeds) & set(training.validation_seeds)
    assert training.trained_on["split"] == "train"
    with pytest.raises(InvalidSetting, match="policies are trained on 'train'"):
        Training("MixedShiftsDigits-small-v0", {"split": "test"}, rounds=1)
    with pytest.raises(UnknownName, match="Did you mean"):
        Training("MixedShiftDigits-small-v0", rounds=1)
    with pytest.raises(UnknownName, match="item of the menu for the twin"):
        replace(training, twin="recycle 0.3")
    with pytest.raises(InvalidSetting, match="never end"):
        replace(training, rounds=None)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: replace(TOY, rounds=-1), "rounds is -1; give a whole number of at least 1"),
        (lambda: replace(TOY, rounds=2.5), "rounds is 2.5"),
        (lambda: replace(TOY, minutes=float("nan")), "minutes is nan; give a positive number"),
        (lambda: replace(TOY, price="x"), "price is 'x'; give a number of at least 0"),
        (lambda: replace(TOY, seed=-1), "seed is -1; give a whole number of at least 0"),
        (lambda: cma.CMASettings(judged=0), "judged is 0"),
        (lambda: cma.CMASettings(candidates=3), "candidates is 3; give a whole number of at least 4"),
        (lambda: cma.CMASettings(sigma=0), "sigma is 0; give a positive number"),
        (lambda: cma.CMASettings(hidden=8), r"hidden is 8; give a tuple .* such as \(32,\)"),
        (lambda: cma.CMASettings(fields="accuracy"), "fields is 'accuracy'; give a tuple of names"),
        (lambda: ppo.PPOSettings(judged=0), "judged is 0"),
        (lambda: ppo.PPOSettings(lr=-1), "lr is -1; give a positive number"),
        (lambda: ppo.PPOSettings(discount=2), "discount is 2; give a number from 0 to 1"),
        (lambda: ppo.PPOSettings(patience="much"), "patience is 'much'; give a number"),
        (lambda: ppo.PPOSettings(learners=1, steps=1), "A round of one decision"),
    ],
)
def test_settings_of_training_that_make_no_sense_are_refused(made, message):
    with pytest.raises(InvalidSetting, match=message):
        made()


def test_compute_has_its_price_by_hand():
    env = replace(TOY, price=0.5).env(1, ())
    env.reset(seed=3)
    (outcome,) = env.lifetime.step({0: Plan(Edit(), 2)}).values()
    # 64-4-4-10 forward and backward, but for the gradient of the inputs; 8 tasks of 2 updates of 2 samples
    whole = 8 * 2 * 2 * (3 * (64 * 4 + 4 * 4 + 4 * 10) - 64 * 4)
    assert outcome.macs > whole / 8
    assert env.reward(outcome) == pytest.approx(outcome.accuracy.sum() / 16 - 0.5 * outcome.macs / whole)


def test_rewards_are_what_a_twin_does_not_get():
    """A policy that does as its twin does is rewarded with nothing, but for what rounding does."""
    training = Training("MixedShiftsDigits-small-v0", {"updates": 90, "longest": 40}, rounds=1, twin="recycle 0.125")
    seeds = training.seeds[:2]
    curves = twins(training, seeds)
    assert [curve.shape for curve in curves.values()] == [(91,)] * 2
    env = PlasticVecEnv(training.env(2, ()), training.menu, seeds=iter(seeds * 9), twins=curves, scale=90.0)
    env.reset()
    twin = [item.name for item in training.menu.items].index("recycle 0.125")
    total, ends, infos = np.zeros(2), np.zeros(2, dtype=bool), env.reset_infos
    while not ends.any():
        _, rewards, ends, infos = env.step(np.array([[twin * info["shift"], 2] for info in infos]))
        total += rewards
    assert np.abs(total).max() < 0.5  # of 90 updates' accuracy
    env.reset()
    _, rewards, *_ = env.step(np.array([[5, 2], [0, 2]]))  # nearly everything lost, or nothing, before there is a shift
    assert rewards[1] == pytest.approx(0, abs=0.2)


def test_the_adapter_answers_ends_as_stable_baselines_wants_it():
    vector = PlasticVectorEnv(find("PermutedDigits-small-v0", tasks=2, updates=6), 2)
    plain = PlasticVectorEnv(find("PermutedDigits-small-v0", tasks=2, updates=6), 2)
    env = PlasticVecEnv(vector, Menu((MenuItem("wait"), RECYCLE), (3, None)))
    assert env.observation_space.contains(
        np.zeros(7 + 2 * 13, dtype=np.float32)
    )  # global fields, and those of two layers
    env.seed(5)
    first = env.reset()
    seen, _ = plain.reset(seed=5)
    features = Features.all(2)
    np.testing.assert_array_equal(first, features.of(seen))
    wait = plain.episode.action()
    short = plain.episode.action(budget=3)
    for step in range(2):
        observations, rewards, ends, infos = env.step(np.array([[0, 1], [0, 0]]))
        seen, expected, terminated, _, _ = plain.step(plain.batch_actions([wait, short]))
        np.testing.assert_array_equal(ends, terminated)
        np.testing.assert_allclose(rewards, expected, atol=1e-6)
        assert ends.tolist() == [step == 1, False]
    np.testing.assert_array_equal(infos[0]["terminal_observation"], features.of(seen)[0])
    assert not infos[0]["TimeLimit.truncated"]
    assert infos[0]["episode"]["l"] == 2
    assert infos[0]["updates"] == 12
    assert "terminal_observation" not in infos[1]
    np.testing.assert_array_equal(observations[1], features.of(seen)[1])
    assert observations[0, 0] == 0  # progress: the next episode has begun
    seen, *_ = plain.step(plain.batch_actions([wait, short]))  # there, it begins only now
    np.testing.assert_allclose(observations[0], features.of(seen)[0], atol=1e-6)
    assert env.env_method("action_masks", indices=[1])[0].tolist() == [True] * 4


def test_truncation_is_told_from_termination():
    vector = PlasticVectorEnv(find("PermutedDigits-small-v0", tasks=2), 1, EpisodeSettings(compute_cap=10**7))
    env = PlasticVecEnv(vector, Menu((MenuItem("wait"),)))
    env.reset()
    _, _, ends, infos = env.step(np.array([0]))
    assert ends.all()
    assert infos[0]["TimeLimit.truncated"]


def test_a_trained_network_is_the_library_s():
    """Ours, in numpy, gives the scores of the one that stable-baselines3 trained."""
    from stable_baselines3 import PPO as LIBRARY

    env = PlasticVecEnv(PlasticVectorEnv(find("PermutedDigits-small-v0", tasks=2), 1))
    model = LIBRARY("MlpPolicy", env, n_steps=2, batch_size=2, device="cpu", policy_kwargs={"net_arch": [5, 4]}, seed=3)
    network = ppo.network_of(model, env.choices.menu.sizes)
    x = np.random.default_rng(0).uniform(-1, 1, (20, 33)).astype(np.float32)
    policy = model.policy
    theirs = policy.action_net(policy.mlp_extractor.policy_net(torch.from_numpy(x))).detach().numpy()
    np.testing.assert_allclose(network.outputs(x), theirs, atol=1e-6)
    np.testing.assert_array_equal(network.choose(x), model.predict(x, deterministic=True)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "Nowhere"], "Unknown scenario"),
        (["--set", "split=test"], "policies are trained on 'train'"),
        (["--budgets", "soon"], "give whole numbers, or 'shift'"),
        (["--settings", "sigm=2"], "Did you mean 'sigma'"),
    ],
)
def test_mistakes_on_the_command_line_are_explained(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cma", "--out", str(tmp_path / "policy.pt"), *arguments])
    assert command(cma.train, cma.CMASettings, "") == 2
    assert message in capsys.readouterr().err


def test_the_command_line_trains(tmp_path, monkeypatch, capsys):
    file = tmp_path / "policy.pt"
    arguments = ["--scenario", "BimodalShiftsDigits-small-v0", "--set", "updates=60", "--rounds", "1"]
    arguments += ["--instances", "2", "--validated", "2", "--settings", "candidates=4", "lives=1"]
    monkeypatch.setattr(sys, "argv", ["cma", "--out", str(file), *arguments])
    assert command(cma.train, cma.CMASettings, "") == 0
    assert "round 1, " in capsys.readouterr().err
    learned = Learned.load(file)
    assert learned.trained_on["scenario"] == "BimodalShiftsDigits-small-v0"
    assert learned.record["twin_item"] == "recycle 0.125"
    assert isinstance(learned.episode, EpisodeSpec)


BRIEF = "--scenario BimodalShiftsDigits-small-v0 --set updates=60 --instances 1 --validated 1 --rounds 1"


@pytest.mark.parametrize(
    ("way", "asked", "twin"),
    [
        (cma, "--fractions 0.5 0.2 --settings candidates=4 lives=1", "recycle 0.2"),
        (cma, "--fractions 0.5 0.2 --twin= --settings candidates=4 lives=1", ""),
        (fixed, "--fractions 0.25 0.75", ""),
    ],
)
def test_other_fractions_need_no_other_twin(way, asked, twin, tmp_path, monkeypatch):
    file = tmp_path / "policy.pt"
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(file), *BRIEF.split(), *asked.split()])
    settings = {cma: cma.CMASettings, fixed: fixed.FixedSettings}[way]
    assert command(way.train, settings, "", twins=way is not fixed) == 0
    assert Learned.load(file).record["twin_item"] == twin


def test_ctrl_c_leaves_the_best_fixed_item_so_far(tmp_path, monkeypatch, capsys):
    lived = []

    def live(*given):
        lived.append(given)
        if len(lived) > 2:
            raise KeyboardInterrupt
        return np.array([-len(lived)]), None  # the first is the better one

    monkeypatch.setattr(fixed, "live", live)
    monkeypatch.setattr(sys, "argv", ["fixed", "--out", str(tmp_path / "policy.pt"), *BRIEF.split()])
    assert command(fixed.train, fixed.FixedSettings, "", twins=False) == 130
    assert "holds the best policy so far" in capsys.readouterr().err
    assert Learned.load(tmp_path / "policy.pt").record["scores"] == {"wait": -1, "recycle 0.05": -2}
    assert Learned.load(tmp_path / "policy.pt").record["item"] == "wait"


def test_ctrl_c_leaves_the_best_policy_so_far(tmp_path):
    asked = [sys.executable, "-m", "plastic_env.agents.learned.cma", "--set", "updates=60", "--minutes", "5"]
    asked += ["--instances", "2", "--validated", "2", "--out", "policy.pt", "--settings", "candidates=4", "judged=1"]
    process = subprocess.Popen(asked, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "policy.pt").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130, told
    assert "Traceback" not in told
    Learned.load(tmp_path / "policy.pt")


def test_the_example_of_a_bandit_lives(tmp_path):
    asked = ["compare", "--scenario", "BimodalShiftsDigits-small-v0", "--seeds", "1", "--threads", "1"]
    asked += ["--set", "updates=300", "--out", str(tmp_path), "--methods", f"{ROOT}/examples/bandit.py:Bandit"]
    assert main(asked) == 0
    (result,) = tmp_path.glob("Bandit-*.parquet")
    rows = pq.read_table(result).to_pydict()
    assert {recycled for recycled, _ in rows["recycle"]} == {0, 16, 48}  # every arm has been tried
    assert 1 in rows["budget"]


def test_the_tutorial_shows_the_example():
    page, example = (
        (ROOT / "docs" / "tutorials" / "bandit.md").read_text(),
        (ROOT / "examples" / "bandit.py").read_text(),
    )
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert example.endswith(code)
    assert len([line for line in code.splitlines() if line.strip()]) <= 32
