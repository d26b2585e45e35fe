"""What plastic_env measures, in Avalanche's loggers, against numbers worked out by hand."""

import io

import numpy as np
import pytest
import torch
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.evaluation.metrics import BWT, Forgetting, ForwardTransfer, accuracy_metrics
from avalanche.logging import InteractiveLogger, TensorboardLogger, TextLogger
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.utils.data import TensorDataset

from plastic_env import SGD, EpisodeSettings, LearnerSettings, Lifetime, Plan
from plastic_env.agents.structural import Grow, NoEdit
from plastic_env.avalanche import PlasticPlugin, plasticity_metrics, to_avalanche
from plastic_env.avalanche.metrics import fresh_copy, hidden_features
from plastic_env.errors import InvalidSetting
from plastic_env.learner.export import to_module
from plastic_env.learner.probing import diagnose
from plastic_env.scenarios import find
from plastic_env.study import stats

SCENARIO = find("PermutedDigits-small-v0", tasks=3, updates=20)


def strategy(model, metrics, plugins=(), lr=0.05, loggers=None):
    return Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=16,
        eval_mb_size=512,
        plugins=list(plugins),
        evaluator=EvaluationPlugin(*metrics, loggers=loggers or [TextLogger(io.StringIO())]),
    )


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 10))


def test_dormant_units_and_ranks_of_a_network_made_by_hand():
    """Four hidden units: two alike, one independent, one that is never active."""
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0], [1, 0], [0, 1], [-1, -1]]))
        model[0].bias.zero_()
    x, y = torch.eye(2).repeat(8, 1), torch.tensor([0, 1]).repeat(8)
    samples = TensorDataset(x, y)
    samples.targets = y.tolist()
    data = as_classification_dataset(samples)
    made = strategy(model, plasticity_metrics(dormant=True, effective_rank=True), lr=1e-12)
    metrics = made.train(benchmark_from_datasets(train=[data]).train_stream)
    assert metrics["DormantFraction_Layer0_Epoch/train_phase/train_stream"] == 0.25
    share = np.array([np.sqrt(2), 1]) / (1 + np.sqrt(2))  # singular values: two units alike, and one
    expected = np.exp(-(share * np.log(share)).sum())
    assert metrics["EffectiveRank_Layer0_Epoch/train_phase/train_stream"] == pytest.approx(expected)


def test_features_are_those_that_learners_are_measured_by():
    life = Lifetime(SCENARIO, EpisodeSettings(LearnerSettings(hidden=(24, 16), live=0.5)))
    life.begin({0: np.random.default_rng(0)})
    life.step({0: Plan(budget=20)})
    x, y = SCENARIO.stream(0).batches(0, 4)
    expected = diagnose(life.population.probe(x.flatten(0, 1)[None], y.flatten()[None]))
    made = strategy(to_module(life.population), plasticity_metrics(dormant=True, effective_rank=True, samples=64))
    for metric in made.evaluator.metrics:
        metric._seen = [(x.flatten(0, 1), y.flatten())]
        found = metric.measure(made)
        name = {"DormantFraction": "dormant", "EffectiveRank": "effective_rank"}[str(metric)]
        np.testing.assert_allclose(list(found.values()), getattr(expected, name)[0], rtol=1e-4)


def test_channels_are_units():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 9, 5), nn.ReLU())
    model.append(nn.Linear(5, 2))
    x = torch.randn(7, 1, 8, 8)
    first, second = hidden_features(model, lambda m: m(x)).values()
    pooled = model[:3](x)
    assert first.shape == (7 * 9, 3)
    torch.testing.assert_close(first, pooled.movedim(1, -1).reshape(-1, 3))
    torch.testing.assert_close(second, model[:6](x))
    assert model.training


def test_relative_plasticity_is_that_of_two_networks_trained_by_hand():
    benchmark = to_avalanche(SCENARIO.stream(0))
    model = mlp()
    made = strategy(model, plasticity_metrics(relative_plasticity=True, seed=7))
    torch.manual_seed(8)  # the second experience's
    twin, fresh, names = mlp_copy(model), fresh_copy(model), []
    accuracies = {"twin": [], "fresh": []}
    for at, experience in enumerate(list(benchmark.train_stream)[:2]):
        names = made.train(experience, shuffle=False)
        rows = range(at * 20, at * 20 + 20)
        for name, net in (("twin", twin), *([("fresh", fresh)] if at == 1 else [])):
            optimizer = torch.optim.SGD(net.parameters(), 0.05)
            accuracies[name] = []
            for row in rows:
                x, y = (part[0] for part in SCENARIO.stream(0).batches(row, row + 1))
                logits = net(x)
                accuracies[name].append(float((logits.argmax(1) == y).double().mean()))
                optimizer.zero_grad()
                nn.functional.cross_entropy(logits, y).backward()
                optimizer.step()
    expected = np.mean(accuracies["twin"]) / np.mean(accuracies["fresh"])
    assert names["RelativePlasticity_Epoch/train_phase/train_stream/Task001"] == pytest.approx(expected)
    for mine, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)  # measuring changes nothing


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam, torch.optim.RMSprop])
def test_fresh_networks_have_optimizers_of_the_same_kind(kind):
    model = mlp()
    (metric,) = plasticity_metrics(relative_plasticity=True)
    made = strategy(model, [metric])
    made.optimizer = kind(model.parameters(), lr=0.003, weight_decay=0.2)
    made.train(to_avalanche(SCENARIO.stream(0)).train_stream[0])
    optimizer = metric._fresh[1]
    assert type(optimizer) is kind
    mine, theirs = ({**each.param_groups[0], "params": None} for each in (optimizer, made.optimizer))
    assert mine == theirs


def mlp_copy(model):
    made = mlp()
    made.load_state_dict(model.state_dict())
    return made


def test_parity_is_that_of_the_plugins_newborns():
    learner = LearnerSettings(hidden=(24, 16), live=0.25, optimizer=SGD(0.05))
    plugin = PlasticPlugin(Grow(events=4), learner, updates=60)
    made = strategy(plugin.network(64, 10), plasticity_metrics(parity=True), [plugin])
    metrics = made.train(to_avalanche(SCENARIO.stream(0)).train_stream)
    found = [metrics[f"GradientParity_Layer{layer}_Epoch/train_phase/train_stream/Task002"] for layer in range(2)]
    np.testing.assert_allclose(found, np.exp(plugin.outcomes[-1].end.log_gradient_parity))
    assert not any("Task000" in name for name in metrics)  # nobody was newborn yet
    alone = strategy(mlp(), plasticity_metrics(parity=True))
    with pytest.raises(InvalidSetting, match="PlasticPlugin"):
        alone.train(to_avalanche(SCENARIO.stream(0)).train_stream[0])


def test_layers_are_numbered_over_all_hidden_ones():
    """The first one is not for edits to change, and has dormant units all the same."""
    learner = LearnerSettings(hidden=("fixed_dense12", 24, 16), live=0.25, optimizer=SGD(0.05))
    plugin = PlasticPlugin(Grow(events=4), learner, updates=60)
    made = strategy(plugin.network(64, 10), plasticity_metrics(dormant=True, parity=True), [plugin])
    metrics = made.train(to_avalanche(SCENARIO.stream(0)).train_stream)
    measured = {
        name: [layer for layer in range(4) if f"{name}_Layer{layer}_Epoch/train_phase/train_stream/Task002" in metrics]
        for name in ("DormantFraction", "GradientParity")
    }
    assert measured == {"DormantFraction": [0, 1, 2], "GradientParity": [1, 2]}


def test_loggers_show_them(tmp_path, capsys):
    plugin = PlasticPlugin(NoEdit(), LearnerSettings(hidden=(8,), optimizer=SGD(0.05)), updates=60)
    text, board = io.StringIO(), TensorboardLogger(tmp_path)
    metrics = [*plasticity_metrics(relative_plasticity=True, dormant=True), *accuracy_metrics(epoch=True)]
    made = strategy(plugin.network(64, 10), metrics, [plugin], loggers=[TextLogger(text), InteractiveLogger(), board])
    benchmark = to_avalanche(SCENARIO.stream(0))
    made.train(benchmark.train_stream[0])
    board.writer.close()
    for shown in (text.getvalue(), capsys.readouterr().out):
        assert "RelativePlasticity_Epoch/train_phase/train_stream/Task000 = " in shown
        assert "DormantFraction_Layer0_Epoch/train_phase/train_stream/Task000 = " in shown
    assert list(tmp_path.rglob("events*"))


def test_modules_that_cannot_be_drawn_anew_are_refused():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x * self.factor

    with pytest.raises(InvalidSetting, match="reset_parameters"):
        fresh_copy(nn.Sequential(nn.Linear(2, 2), Scale()))


def test_backward_and_forward_transfer_are_avalanches():
    tasks = range(5)
    r, untrained = np.random.default_rng(0).random((5, 5)), np.random.default_rng(1).random(5)
    forgetting, backward, forward = Forgetting(), BWT(), ForwardTransfer()
    for task in tasks[:-1]:
        for metric in (forgetting, backward):
            metric.update(task, r[task, task], initial=True)
            metric.update(task, r[-1, task])
    for task in tasks[1:]:
        forward.update(task, untrained[task], initial=True)
        forward.update(task, r[task - 1, task])
    assert stats.bwt(r) == pytest.approx(np.mean(list(backward.result().values())))
    # Avalanche's forgetting starts from a task's own accuracy; stats.forgetting from the best so far
    assert stats.bwt(r) == pytest.approx(-np.mean(list(forgetting.result().values())))
    assert stats.fwt(r, untrained) == pytest.approx(np.mean(list(forward.result().values())))
