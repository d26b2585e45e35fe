"""What people get wrong in their first hours, and what they are then told: what was given, what is allowed, what to do.

On the command line no mistake ends in a traceback, and all exit with 2.
"""

import json
import re
import sys
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from plastic_env import Edit, EpisodeSettings, LearnerSettings, Plan, PlasticEnv
from plastic_env.agents.learned import ppo
from plastic_env.agents.learned.command import command as learn
from plastic_env.cli import main
from plastic_env.env.wrappers import MenuActions
from plastic_env.errors import PlasticEnvError
from plastic_env.scenarios import find
from plastic_env.study.sweep import Study

POLICY = Path(__file__).parent.parent / "examples" / "policies" / "bimodal-ppo.pt"
SMALL = "--seeds 1 --set tasks=2 updates=4 --threads 1"
COMPARE = f"compare {SMALL} --methods"

FILES = {
    "silent.py": "class Silent:\n    def reset(self, episode, seed): ...\n",
    "needy.py": "class Needy:\n    def __init__(self, x): ...\n    def reset(self, e, s): ...\n    act = reset\n",
    "words.py": "class Words:\n    def reset(self, e, s): ...\n    def act(self, o, i): return 'grow'\n",
    "wide.py": "class Wide:\n    def reset(self, e, s): self.e = e\n"
    "    def act(self, o, i): return self.e.action(grow=[1, 2, 3])\n",
    "lapse.py": "class Lapse(:\n",
    "syntax.toml": 'scenarios = ["PermutedDigits-small-v0"\nmethods = ["dense"]\n',
    "key.toml": 'scenario = "PermutedDigits-small-v0"\nmethods = ["dense"]\nseeds = 1\n',
    "lacking.toml": 'scenarios = "PermutedDigits-small-v0"\nseeds = 1\n',
    "tune.toml": 'scenarios = "PermutedDigits-small-v0"\nmethods = ["dense"]\nseeds = 1\ntune = 3\n',
    "text.npz": "no arrays",
}

# mistake: command, and what the last line on stderr must contain
COMMANDS = {
    "misspelt command": ("comapre", "'comapre'", "choose from", "Did you mean 'compare'?"),
    "misspelt option": ("compare --sceanrio X", "--sceanrio", "Did you mean '--scenario'?", "compare --help"),
    "no number": ("compare --tasks many", "--tasks", "'many'", "compare --help"),
    "misspelt choice": ("compare --tests tasks", "'tasks'", "'none', 'task', 'past'", "Did you mean 'task'?"),
    "misspelt scenario": ("compare --scenario PermutedDigit-small-v0", "Did you mean 'PermutedDigits-small-v0'?"),
    "misspelt benchmark": ("compare --scenario avalanche:SplitMINST", "Did you mean 'SplitMNIST'?", "SplitCIFAR10"),
    "misspelt method": (f"{COMPARE} recylce", "'recylce'", "Did you mean 'recycle'?", "path/to/file.py:Class"),
    "misspelt option of a method": (f"{COMPARE} grow+event=5", "'event'", "Did you mean 'events'?", "Known: lr,"),
    "misspelt rule": (f"{COMPARE} grow+insertion=net2wide", "'net2wide'", "Did you mean 'net2wider'?", "gradmax"),
    "misspelt optimizer": (f"{COMPARE} dense+optimizer=adamw", "'adamw'", "Did you mean 'adam'?", "sgd"),
    "a word for a count": (f"{COMPARE} grow+events=many", "events is 'many'", "whole number"),
    "a negative count": (f"{COMPARE} grow+events=-3", "events is -3", "whole number"),
    "a negative rate": (f"{COMPARE} dense+lr=-1", "lr=-1", "above 0"),
    "too large a share": (f"{COMPARE} recycle+fraction=3", "fraction is 3", "from 0 to 1"),
    "no updates between looks": (f"{COMPARE} every_5+look=0", "look is 0", "at least 1"),
    "no updates between acts": (f"{COMPARE} redo+every=0", "every is 0", "at least 1"),
    "a target beyond 1": (f"{COMPARE} grow+target=2.0", "target is 2.0", "from 0 to 1"),
    "a target below 0": (f"{COMPARE} grow+target=-1.0", "target is -1.0", "from 0 to 1"),
    "a negative share": (f"{COMPARE} set+share=-1", "share is -1", "from 0 to 1"),
    "a fraction beyond 1": (f"{COMPARE} every_5_recycle+fraction=3", "fraction is 3", "from 0 to 1"),
    "a negative part": (f"{COMPARE} every_5+until=-3", "until is -3", "(0, 1]"),
    "a word for patience": (f"{COMPARE} parity_gated+patience=abc", "patience is 'abc'", "whole number", "or None"),
    "a part of what has none": (f"{COMPARE} after_shift+until=1.0", "'until'", "Known:"),
    "misspelt grow rule": (f"{COMPARE} grow+grow_rule=gradmx", "'gradmx'", "Did you mean 'gradmax'?"),
    "an old name of a rule": (f"{COMPARE} grow+rule=gradmax", "'rule'", "grow_rule"),
    "no moments": (f"{COMPARE} plastic_env.agents.integration:At+moments=5", "moments is 5", "ascending"),
    "targets of three layers": (f"{COMPARE} prune+target=(.5,.5,.5)", "(0.5, 0.5, 0.5)", "2 editable layers"),
    "a number for layers": (f"{COMPARE} dense+hidden=64", "hidden is 64", "give a tuple"),
    "misspelt setting": (f"{COMPARE} dense --set taks=3", "'taks'", "Did you mean 'tasks'?", "batch_size"),
    "a setting without value": (f"{COMPARE} dense --set tasks", "'tasks'", "NAME=VALUE", "updates=500"),
    "misspelt axis": (f"{COMPARE} dense --axis strenght=0.1,1", "'strenght'", "Did you mean 'strength'?"),
    "an axis without values": (f"{COMPARE} dense --axis strength", "'strength'", "NAME=VALUE,VALUE"),
    "misspelt boundaries": (f"{COMPARE} dense --set boundaries=hiden", "'hiden'", "Did you mean 'hidden'?"),
    "a share beyond 1": (f"{COMPARE} dense --set strength=2", "strength is 2", "from 0 to 1"),
    "no budget": (f"{COMPARE} dense --set max_budget=0", "max_budget is 0", "at least 1"),
    "negative tasks": ("compare --tasks -3", "tasks is -3", "at least 1"),
    "seeds of letters": ("compare --seeds abc", "--seeds", "'abc'", "100-119"),
    "no seeds": ("compare --seeds 0", "--seeds is 0", "at least 1"),
    "seeds backwards": ("compare --seeds 9-3", "'9-3'", "smaller end first"),
    "seeds tuned on": (f"{COMPARE} dense --tune lr=0.1,0.01 --tune-seeds 2", "[0]", "give the tuning others"),
    "a tuned scenario": (f"{COMPARE} dense --tune strength=0.1,1", "strength", "only options of methods"),
    "misspelt backend": (f"{COMPARE} dense --backend proceses", "Did you mean 'processes'?", "here"),
    "no threads": ("compare --threads 0", "threads is 0", "at least 1"),
    "two studies": ("run key.toml --study tune.toml", "given twice: key.toml, and --study tune.toml", "give one"),
    "misspelt tracker": (f"{COMPARE} dense --track tensorbord", "Did you mean 'tensorboard'?", "wandb"),
    "no agent's file": (f"{COMPARE} nowhere.py:Mine", "no file 'nowhere.py'", "looked in"),
    "an agent's file alone": (f"{COMPARE} words.py", "give words.py:Class", "Words"),
    "another class": (f"{COMPARE} words.py:Word", "'words.py:Word'", "Such classes there: Words"),
    "an agent without act": (f"{COMPARE} silent.py:Silent", "Silent lacks act", "act(observation, info)"),
    "an agent with arguments": (f"{COMPARE} needy.py:Needy", "'needy.py:Needy'", "without arguments", "'x'"),
    "an agent's syntax": (f"{COMPARE} lapse.py:Lapse", "lapse.py", "SyntaxError", "line 1"),
    "an agent's module": (f"{COMPARE} nowhere.mine:Mine", "nowhere.mine", "can't be imported"),
    "an agent of words": (f"{COMPARE} words.py:Words", "'Words'", "The action is 'grow'", "episode.action(...)"),
    "an agent of three layers": (f"{COMPARE} wide.py:Wide", "action['grow'] is array([1, 2, 3])", "2 whole numbers"),
    "no policy": (f"{COMPARE} ppo:nowhere.pt", "nowhere.pt", "Give the file", "agents.learned.ppo"),
    "a policy without file": (f"{COMPARE} ppo", "'ppo'", "give ppo:FILE"),
    "half a policy": (f"{COMPARE} ppo:half.pt", "half.pt", "damaged", "Use another copy"),
    "another kind of policy": (f"{COMPARE} cma:{POLICY}", "trained with ppo", f"name it ppo:{POLICY}"),
    "a policy for other spaces": (f"{COMPARE} ppo:{POLICY}+hidden=(32,32)", "(64, 64), not (32, 32)", "train one"),
    "misspelt data": (f"{COMPARE} dense --set data=minst", "'minst'", "Did you mean 'mnist'?", "npz:PATH"),
    "no data": (f"{COMPARE} dense --set data=npz:nowhere.npz", "nowhere.npz", "no such file", "looked in"),
    "data with other keys": (f"{COMPARE} dense --set data=npz:keys.npz", "lacks x_train", "it has x, y"),
    "data of other lengths": (f"{COMPARE} dense --set data=npz:lengths.npz", "(3, 4)", "(5,)", "[samples, features]"),
    "data that are text": (f"{COMPARE} dense --set data=npz:text.npz", "text.npz", "numpy.savez"),
    "no folder of data": (f"{COMPARE} dense --set data=folder:nowhere", "nowhere", "one folder of images per class"),
    "too many images": (f"{COMPARE} dense --set images=99999", "99999", "1437"),
    "results in a file": (f"{COMPARE} dense --out text.npz", "text.npz", "can't be written", "another place"),
    "TOML's syntax": ("run syntax.toml", "syntax.toml", "no TOML", "line 2"),
    "misspelt key": ("run key.toml", "'scenario'", "Did you mean 'scenarios'?", "axes"),
    "a key that lacks": ("run lacking.toml", "lacks methods", "scenarios, methods, seeds"),
    "a number for names": ("run tune.toml", "tune in tune.toml is 3", "by name"),
    "no study": ("run nowhere.toml", "nowhere.toml", "looked in", "a file.toml"),
    "no study in a module": ("run words.py", "STUDY in words.py", "words.py:NAME"),
    "no results to resume": ("resume nowhere", "nowhere", "study.json", "plastic-env run"),
    "results of other code": ("resume old", "old holds results", "(code other)", "--overwrite"),
    "results cut off": ("resume cut", "study.json can't be read", "another folder"),
    "misspelt list": ("list method", "'method'", "Did you mean 'methods'?", "rules"),
    "misspelt name": ("show recylce", "'recylce'", "Did you mean 'recycle'?", "plastic-env list"),
    "no run to show": ("show nowhere.parquet", "nowhere.parquet", "looked in", "--out"),
    "misspelt weights": (f"ticket {SMALL} --weights fesh", "'fesh'", "Did you mean 'fresh'?", "rewound"),
    "an ending of a film": ("watch PermutedDigits-small-v0 --method dense --out life.avi", "'.avi'", ".gif, .mp4"),
    "a misspelt colour": (
        "watch PermutedDigits-small-v0 --method dense --out a.gif --colour ages",
        *("'ages'", "Did you mean 'age'?", "parity"),
    ),
    "no frames": ("watch PermutedDigits-small-v0 --method dense --out a.gif --frames 0", "frames is 0", "at least 2"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    Path("half.pt").write_bytes(POLICY.read_bytes()[:3000])
    np.savez("keys.npz", x=np.zeros((3, 4)), y=np.zeros(3, int))
    parts = {"x_train": np.zeros((3, 4)), "x_test": np.zeros((3, 4)), "y_test": np.zeros(3, int)}
    np.savez("lengths.npz", y_train=np.zeros(5, int), **parts)
    study = {"scenarios": ["PermutedDigits-small-v0"], "methods": ["dense"], "seeds": 1}
    record = json.dumps({"study": study, "versions": {"plastic_env": "0.0.1", "code": "other"}})
    for name, text in (("old", record), ("cut", record[:50])):
        Path(name).mkdir()
        (Path(name) / "study.json").write_text(text)
    return tmp_path


def told(said, wanted):
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    for part in wanted:
        assert part in last, f"{part!r} is not in: {last}"


@pytest.mark.parametrize("mistake", COMMANDS)
def test_a_mistake_on_the_command_line_is_explained(mistake, folder, capsys):
    line, *wanted = COMMANDS[mistake]
    try:
        code = main(line.split())
    except SystemExit as left:
        code = left.code
    assert code == 2
    told(capsys.readouterr().err, wanted)


def test_comparing_beside_results_of_other_code_is_remarked_on(folder, capsys):
    assert main(f"{COMPARE} dense --out old".split()) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert "old holds results" in first
    assert "(code other)" in first
    assert "They stay" in first


def test_a_damaged_record_is_replaced_by_comparing(folder, capsys):
    assert main(f"{COMPARE} dense --out cut".split()) == 0
    assert capsys.readouterr().err.startswith("plastic-env: cut/study.json can't be read; it is written anew.\n")
    assert json.loads(Path("cut/study.json").read_text())["study"]["methods"] == ["dense"]


def test_what_to_do_about_results_of_other_code_is_told_by_status(folder, capsys):
    assert main(["status", "old"]) == 0
    told(capsys.readouterr().err, ["old holds results", "choose another --out", "--overwrite"])


@pytest.mark.parametrize(
    ("library", "line", "wanted"),
    [
        ("mnist1d.data", f"{COMPARE} dense --set data=mnist1d", "pip install 'plastic_env[mnist1d]'"),
        ("torch.utils.tensorboard", f"{COMPARE} dense --track tensorboard", "pip install 'plastic_env[track]'"),
        ("wandb", f"{COMPARE} dense --track wandb", "pip install 'plastic_env[track]'"),
        ("imageio_ffmpeg", "watch PermutedDigits-small-v0 --method dense --out a.mp4", "'plastic_env[video]'"),
    ],
)
def test_a_missing_extra_is_named(library, line, wanted, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, library, None)  # as if it weren't installed
    assert main(line.split()) == 2
    told(capsys.readouterr().err, [wanted])


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("--scenario Bimodal", ("'plastic_env/Bimodal'", "Known:")),
        ("--scenario BimodalShiftsDigits-small-v0 --set split=test", ("split is 'test'", "trained on 'train'")),
        ("--settings lrr=0.1", ("'lrr'", "Did you mean 'lr'?")),
        ("--twin none", ("'none'", "recycle 0.125")),
        ("--budgets soon", ("soon", "whole numbers, or 'shift'")),
        ("--out text.npz/policy.pt", ("text.npz", "another place")),
    ],
)
def test_a_mistake_in_training_is_explained(arguments, wanted, folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ppo", "--out", "policy.pt", "--rounds", "1", *arguments.split()])
    assert learn(ppo.train, ppo.PPOSettings, "Train.") == 2
    told(capsys.readouterr().err, wanted)


def test_training_without_its_library_is_explained(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    monkeypatch.setattr(sys, "argv", ["ppo", "--out", "policy.pt", "--rounds", "1"])
    assert learn(ppo.train, ppo.PPOSettings, "Train.") == 2
    told(capsys.readouterr().err, ["pip install 'plastic_env[rl]'"])


def made(**settings):
    return gymnasium.make("plastic_env/PermutedDigits-small-v0", tasks=2, **settings).unwrapped


def begun(**settings):
    env = made(**settings)
    env.reset(seed=0)
    return env


def acting(**wanted):
    return begun().episode.action(**wanted)


def forked(*plans):
    return begun().fork(list(plans))


def loaded(change):
    env = begun()
    env.save("life")
    whole = Path("life").read_bytes()
    Path("life").write_bytes(change(whole))
    env.load("life")


def loaded_elsewhere():
    begun().save("life")
    begun(learner=LearnerSettings(hidden=(32, 32))).load("life")


def grown_beyond():
    env = begun(illegal="raise")
    env.step(env.episode.action(grow=5))


# mistake: what is done, and what the error must contain
CALLS = {
    "misspelt environment": (partial(gymnasium.make, "plastic_env/PermutedDigit-small-v0"), "`PermutedDigits-small`"),
    "misspelt scenario": (partial(find, "PermutedDigits"), "Did you mean 'PermutedDigits-small-v0'?"),
    "misspelt setting": (partial(made, taks=3), "'taks'", "Did you mean 'tasks'?"),
    "unknown reward": (partial(made, reward="acuracy"), "reward 'acuracy'", "online_accuracy"),
    "a reward of three": (
        partial(made, reward=lambda observation, action, info: 0.0),
        *("<lambda>(observation, action, info)", "missing a required argument", "function of one Outcome"),
    ),
    "misspelt render mode": (partial(made, render_mode="rgb"), "Did you mean 'rgb_array'?", "ansi"),
    "misspelt treatment": (partial(made, illegal="clamp"), "'clamp'", "Did you mean 'clip'?", "raise"),
    "another device": (partial(made, device="gpu"), "device is 'gpu'", "give 'cpu'"),
    "precision by name": (partial(made, dtype="float32"), "dtype is 'float32'", "give torch.float32"),
    "whole numbers for weights": (partial(made, dtype=torch.int32), "dtype is torch.int32", "torch.float64"),
    "a dict for a learner": (partial(made, learner={"live": 0.5}), "{'live': 0.5}", "LearnerSettings(...)"),
    "a dict for settings": (
        lambda: PlasticEnv(find("PermutedDigits-small-v0"), {"tests": "task"}),
        *("{'tests': 'task'}", "EpisodeSettings(...)"),
    ),
    "a name for a scenario": (partial(PlasticEnv, "PermutedDigits-small-v0"), "scenarios.find(name)"),
    "a colour for several": (
        partial(gymnasium.make_vec, "plastic_env/PermutedDigits-small-v0", num_envs=2, colour="age"),
        *("'colour'", "Known:", "threads"),
    ),
    "no learners": (partial(gymnasium.make_vec, "plastic_env/PermutedDigits-small-v0", num_envs=0), "num_envs is 0"),
    "a step before reset": (lambda: made().step(made().episode.action()), "call reset() first"),
    "a fork before reset": (lambda: made().fork([Plan()]), "never began"),
    "a number for an action": (lambda: begun().step(3), "The action is 3", "episode.action(...)"),
    "a plan for an action": (lambda: begun().step(Plan()), "The action is Plan(", "episode.action(...)"),
    "a dict for a plan": (partial(forked, {"grow": 3}), "{'grow': 3}", "Plan(Edit(...), budget=...)"),
    "an edit for a plan": (partial(forked, Edit()), "Edit(", "Plan(Edit(...), budget=...)"),
    "a dict for an edit": (partial(forked, Plan({"grow": 3})), "{'grow': 3}", "Edit(...)"),
    "one plan for several": (lambda: begun().fork(Plan()), "[Plan(Edit(...), budget=...)]"),
    "a budget of nothing": (partial(forked, Plan(budget=0)), "budget is 0", "from 1 to 1000"),
    "a negative budget": (partial(acting, budget=-3), "action['budget'] is -3", "from 1 to 1000"),
    "misspelt field": (partial(acting, gorw=3), "'gorw'", "Did you mean 'grow'?"),
    "misspelt rule": (partial(acting, insertion="net2wide"), "Did you mean 'net2wider'?", "gradmax"),
    "units of three layers": (partial(acting, grow=[1, 2, 3]), "array([1, 2, 3])", "2 whole numbers", "[64, 64]"),
    "negative units": (partial(acting, grow=-1), "array([-1, -1])", "none negative"),
    "units that aren't there": (grown_beyond, "grow asks for 5", "grow at most 0", "more slots"),
    "a plan for three layers": (partial(forked, Plan(Edit(grow=(1, 1, 1)))), "(1, 1, 1)", "2 whole numbers"),
    "half a snapshot": (partial(loaded, lambda whole: whole[: len(whole) // 2]), "damaged", "another copy"),
    "no snapshot": (partial(loaded, lambda _: b"hello"), "no snapshot", "another version"),
    "a snapshot of others": (loaded_elsewhere, "hidden=(64, 64)", "hidden=(32, 32)", "where these agree"),
    "a number for a menu": (lambda: MenuActions(made(), 3), "menu is 3", "recycling_menu()"),
    "misspelt activation": (partial(LearnerSettings, activation="relo"), "Did you mean 'relu'?", "gelu"),
    "an optimizer by name": (partial(LearnerSettings, optimizer="adam"), "'adam'", "plastic_env.Adam(...)"),
    "torch's optimizer": (partial(LearnerSettings, optimizer=torch.optim.Adam), "plastic_env.Adam(...)"),
    "negative slots": (partial(LearnerSettings, hidden=(-3,)), "(-3,)", "positive whole numbers"),
    "misspelt tests": (partial(EpisodeSettings, tests="pasts"), "Did you mean 'past'?", "task"),
    "a study of nothing": (partial(Study, (), ("dense",), 1), "at least one scenario"),
}


@pytest.mark.parametrize("mistake", CALLS)
def test_a_mistake_in_python_is_explained(mistake, folder):
    call, *wanted = CALLS[mistake]
    with pytest.raises((PlasticEnvError, gymnasium.error.Error)) as raised:
        call()
    for part in wanted:
        assert part in str(raised.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has what is missing here")
def test_a_missing_gpu_is_explained():
    with pytest.raises(PlasticEnvError, match=r"device is 'cuda', which torch can't use here \(.*\); give 'cpu'\.$"):
        made(device="cuda")


def test_a_missing_display_is_explained(monkeypatch):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(PlasticEnvError, match=re.escape("Choose render_mode='rgb_array'")):
        made(render_mode="human")
