"""The tutorials run, show what they say, and their pages are what they make."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
_spec = importlib.util.spec_from_file_location("weave", ROOT / "examples" / "tutorials" / "weave.py")
weaver = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(weaver)


def woven(number, folder):
    """Run it, check its page against the kept one, and return its variables."""
    (script,) = (path for path in weaver.tutorials() if path.stem.startswith(f"{number}_"))
    scope = weaver.weave(script, folder)
    page, kept = ((place / f"{script.stem}.md").read_text() for place in (folder, weaver.PAGES))
    assert but_numbers(page) == but_numbers(kept), f"run: python examples/tutorials/weave.py {number}"
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", page):
        with Image.open(folder / picture) as made, Image.open(weaver.PAGES / picture) as shown:
            assert np.abs(np.subtract(made.size, shown.size)).max() < 40  # labels may be wider by a digit
    return scope


def but_numbers(page):
    """Prose and code as they are; of what was printed, all but numbers, which other processors round differently."""
    parts = re.split(r"(```text\n.*?```)", page, flags=re.DOTALL)
    return [re.sub(r"[-+\d.e%\s]+", " ", part) if part.startswith("```text") else part for part in parts]


def test_pages_link_to_pages_that_are_there():
    assert len(weaver.tutorials()) == 7
    for script in weaver.tutorials():
        for target in re.findall(r"\]\((.*?)\)", (weaver.PAGES / f"{script.stem}.md").read_text()):
            assert (weaver.PAGES / target).is_file(), f"{script.name} links to {target}"


def test_prose_and_code_are_told_apart():
    text = "# %% [markdown]\n# # Title\n#\n# Words.\n\n# %%\nx = 1\n\n\n"
    assert list(weaver.cells(text)) == [
        (["# %% [markdown]", "# # Title", "#", "# Words."], 1),
        (["# %%", "x = 1"], 6),
    ]


def test_newborns_starve(tmp_path):
    found = woven(1, tmp_path)
    birth = np.median(found["dormant"][:, 0], 0)  # [kinds, layers] log-parities
    assert (birth[0] > 0).all()  # more active than their elders
    assert (birth[1] < np.log(0.5)).all()
    assert (np.median(found["dormant"][:, -1, 1], 0) < np.log(0.5)).all()
    ratio = np.exp(np.median(found["scaled"][:, [0, -1], 1], 0) - np.median(found["dormant"][:, [0, -1], 1], 0))
    assert (ratio > 1.3).all()
    assert (np.median(found["scaled"][:, -1, 1], 0) < 0).all()


def test_a_policy_is_compared_fairly(tmp_path):
    found = woven(2, tmp_path)
    assert found["paired_difference"](found["taoa"]["Renew"], found["taoa"]["dense"]).low > 0
    within = {name: values.mean() for name, values in found["within"].items()}
    assert abs(within["Renew"] - within["dense"]) < 0.01  # the early tasks, where nothing is lost yet
    assert within["grow_smooth_leaky"] < within["dense"] - 0.05


def test_ppo_is_tested_on_other_streams(tmp_path, capsys):
    pytest.importorskip("stable_baselines3")
    found = woven(3, tmp_path)
    assert found["policy"].trained_on["split"] == "train"
    assert found["taoa"]["ppo_toy"].tolist() == found["taoa"]["dense"].tolist()  # it waits
    assert found["paired_difference"](found["taoa"]["ppo_bimodal-ppo"], found["taoa"]["recycle"]).low > 0


def test_own_data_and_stream(tmp_path):
    found = woven(4, tmp_path)
    silent = found["means"] == found["means"].min()  # [tasks, features]
    assert silent.sum(1).tolist() == [15] * 10
    changes = (silent[1:] != silent[:-1]).sum(1)
    assert set(changes.tolist()) == {2}  # one falls silent, one speaks


def test_avalanche_in_and_out(tmp_path):
    found = woven(5, tmp_path)
    assert [len(outcome.accuracy) for outcome in found["env"].outcomes] == [100] * 5
    accuracy = [np.mean(curves[0][6:]) for curves in found["found"].values()]
    assert accuracy[1] > accuracy[0]


def test_forks_share_their_batches(tmp_path):
    found = woven(6, tmp_path)
    assert found["tasks"][-1] < found["tasks"][0]
    gains = {name: np.mean(values) for name, values in found["differences"].items()}
    assert gains["recycle 32, fresh"] > abs(gains["recycle 8, fresh"])
    assert gains["draw everything anew"] > abs(gains["recycle 8, fresh"])


def test_many_machines(tmp_path):
    pytest.importorskip("ray")
    found = woven(7, tmp_path)
    assert len(found["ours"]) == 32
    assert found["ours"] == found["theirs"]
    assert not found["finished"].failed
