"""Our agents inside Avalanche's strategies: the same edits as in an episode, and nothing else touched."""

import io
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.logging import TextLogger
from avalanche.training.plugins import EvaluationPlugin, ReplayPlugin, SupervisedPlugin
from avalanche.training.supervised import EWC, Naive
from torch import nn

from plastic_env import SGD, Adam, Conv, EpisodeSettings, LearnerSettings, Lifetime
from plastic_env.agents import METHODS
from plastic_env.agents.structural import AtShifts, Grow, NoEdit, Prune, Recycle
from plastic_env.avalanche import PlasticPlugin, plasticity_metrics, to_avalanche
from plastic_env.env.encoding import Codec
from plastic_env.errors import InvalidEdit, InvalidSetting
from plastic_env.learner.compute import training_macs
from plastic_env.learner.export import to_module
from plastic_env.learner.penalties import L2Init
from plastic_env.scenarios import find

TASKS, UPDATES = 3, 20
SCENARIO = find("PermutedDigits-small-v0", tasks=TASKS, updates=UPDATES)
SMALL = LearnerSettings(hidden=(24, 16), optimizer=SGD(0.05, momentum=0.5))


@dataclass
class Scripted(AtShifts):
    """Carries out one edit after the other, one per decision."""

    edits: list = field(default_factory=list)
    budget: int = 1000
    seen: list = field(default_factory=list)

    def act(self, observation, info):
        self.seen.append((observation, info))
        wanted = self.edits[len(self.seen) - 1] if len(self.seen) <= len(self.edits) else {}
        return self.episode.action(budget=min(self.budget, self.episode.max_budget), **wanted)


def sgd(model):
    return torch.optim.SGD(model.parameters(), 0.05, momentum=0.5)


def adam(model):
    return torch.optim.Adam(model.parameters(), 0.003)


def strategy(model, plugins, optimizer=sgd, kind=Naive, metrics=None, **settings):
    return kind(
        model=model,
        optimizer=optimizer(model),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=16,
        eval_mb_size=512,
        plugins=plugins,
        evaluator=EvaluationPlugin(metrics or accuracy_metrics(experience=True), loggers=[TextLogger(io.StringIO())]),
        **settings,
    )


def plugin(agent, learner=SMALL, **settings):
    return PlasticPlugin(agent, learner, **{"updates": TASKS * UPDATES} | settings)


def benchmark(seed=0):
    return to_avalanche(SCENARIO.stream(seed))


def test_an_agent_that_never_edits_changes_nothing():
    trained = []
    for agents in ([], [plugin(NoEdit(), every=7)]):
        model = plugin(NoEdit()).network((1, 8, 8), 10)
        torch.manual_seed(0)  # of the shuffling
        made = strategy(model, agents)
        for experience in benchmark().train_stream:
            made.train(experience)
        trained.append(model.state_dict())
    for name, value in trained[0].items():
        assert torch.equal(value, trained[1][name])


@pytest.mark.parametrize("method", ["recycle", "grow", "prune", "prune_no_rewind", "reset"])
def test_edits_are_those_of_an_episode(method):
    """The same agent, seed, SGD and batches: the network in the strategy stays the one that lives in an episode."""
    agent = METHODS[method].make
    learner = replace(SMALL, live=0.25 if method == "grow" else 1.0)
    life = Lifetime(SCENARIO, EpisodeSettings(learner=learner), dtype=torch.float64)
    life.begin({0: np.random.default_rng(5)})
    codec, ours = Codec(life), agent()
    ours.reset(codec.spec, 5)

    theirs = plugin(agent(), learner, seed=5)
    model = nn.Sequential(Double(), *theirs.network(64, 10)).double()
    made, info, requested, outcome = strategy(model, [theirs]), codec.info(0), None, None
    for at, experience in enumerate(to_avalanche(life.streams[0]).train_stream):
        requested, plan = codec.decode(0, ours.act(codec.observe(0), info))
        outcome = life.step({0: plan})[0]
        info = codec.info(0, requested, outcome)
        made.train(experience, shuffle=False)
        assert theirs.outcomes[-1].live == outcome.live
        np.testing.assert_allclose(theirs.outcomes[-1].accuracy, outcome.accuracy, atol=1e-9)
        x, _ = life.streams[0].test(at)
        torch.testing.assert_close(model.eval()(x), life.population.predict(x[None])[0], rtol=0, atol=1e-5)
    assert not all(outcome.plan.edit.empty for outcome in theirs.outcomes)


class Double(nn.Module):
    def forward(self, x):
        return x.double()


class Spy(SupervisedPlugin):
    """Remembers the optimizer's state before iteration 10, and what the network and the learner say in it."""

    def after_training_iteration(self, strategy, *_, **__):
        if strategy.clock.train_iterations == 9:
            self.states = {name: strategy.optimizer.state[p] for name, p in strategy.model.named_parameters()}

    def after_forward(self, strategy, *_, **__):
        if strategy.clock.train_iterations == 10:
            (plugin,) = (each for each in strategy.plugins if isinstance(each, PlasticPlugin))
            self.outputs = strategy.mb_output.detach()
            self.expected = plugin.population.predict(strategy.mb_x.flatten(1)[None])[0]


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize(
    ("wanted", "touched"),
    [
        ({"grow": (0, 4), "insertion": "net2wider"}, {"3.weight", "3.bias", "5.weight"}),
        ({"prune": (5, 0)}, {"1.weight", "1.bias", "3.weight"}),
        ({"recycle": (3, 3)}, set()),
        ({"rewind": "initial"}, set()),
    ],
)
def test_what_stays_is_the_same_object(wanted, touched, optimizer):
    learner = LearnerSettings(hidden=(24, 16), live=0.5)
    mine, spy = plugin(Scripted(edits=[{}, wanted], budget=10), learner, every=10), Spy()
    model = mine.network(64, 10)
    made = strategy(model, [mine, spy], optimizer)
    before = dict(model.named_parameters())
    experiences = benchmark().train_stream
    made.train(experiences[0])
    after = dict(model.named_parameters())
    torch.testing.assert_close(spy.outputs, spy.expected)
    assert {name for name in after if after[name] is not before[name]} == touched
    for name, parameter in after.items():
        state = made.optimizer.state[parameter]
        assert state is spy.states[name]  # the very dict, with Adam's count in it
        assert all(value.shape in (parameter.shape, torch.Size()) for value in state.values())
    assert [p for group in made.optimizer.param_groups for p in group["params"]] == list(after.values())
    kept = {name: dict(made.optimizer.state[p]) for name, p in after.items()}
    made.experience = experiences[1]
    made.check_model_and_optimizer()  # as before each experience
    assert all(a is b for a, b in zip(model.parameters(), after.values(), strict=True))
    assert [p for group in made.optimizer.param_groups for p in group["params"]] == list(after.values())
    assert {name: dict(made.optimizer.state[p]) for name, p in after.items()} == kept
    made.train(experiences[1])
    assert mine.outcomes[-1].loss.mean() < mine.outcomes[-2].loss.mean()


def test_networks_with_convolutions_and_normalisation_are_edited():
    learner = LearnerSettings(hidden=(Conv(6, pool=2), 12), live=0.5, norm="batch", optimizer=Adam())
    mine = plugin(Scripted(edits=[{}, {"grow": (2, 3)}, {"prune": (1, 2)}], budget=10), learner)
    model = mine.network((1, 8, 8), 10)
    made = strategy(model, [mine], adam)
    for experience in benchmark().train_stream:
        made.train(experience)
    assert [outcome.live for outcome in mine.outcomes[:3]] == [(3, 6), (5, 9), (4, 7)]
    assert model[2].out_channels == model[3].num_features == 4
    mine._life.mirror.load()
    x = torch.randn(5, 64)
    torch.testing.assert_close(model.eval()(x), mine.population.predict(x[None])[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(model(x), to_module(mine.population)(x))


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")  # by EWC, where parameters have grown
@pytest.mark.parametrize(
    ("agent", "kind", "hidden"),
    [(Grow(events=3), Naive, (24, 16)), (Grow(events=3), EWC, (24,)), (Recycle(), EWC, (24, 16))],
)
def test_other_plugins_go_on_working(agent, kind, hidden):
    mine = plugin(agent, LearnerSettings(hidden=hidden, live=0.25 if isinstance(agent, Grow) else 1.0))
    own = {"ewc_lambda": 1.0} if kind is EWC else {}
    made = strategy(mine.network(64, 10), [mine, ReplayPlugin(mem_size=40)], kind=kind, **own)
    for experience in benchmark().train_stream:
        made.train(experience)
    made.eval(benchmark().test_stream)
    assert not all(outcome.plan.edit.empty for outcome in mine.outcomes)


def test_decisions_come_when_the_budget_or_the_experience_ends():
    agent = Scripted(budget=8)
    mine = plugin(agent)
    made = strategy(mine.network(64, 10), [mine])
    for experience in benchmark().train_stream:
        made.train(experience)
    assert [(outcome.start, outcome.stop) for outcome in mine.outcomes[:4]] == [(0, 8), (8, 16), (16, 20), (20, 28)]
    assert [info["shift"] for _, info in agent.seen[:5]] == [False, False, False, True, False]
    assert [outcome.shift for outcome in mine.outcomes[:4]] == [False, False, True, False]
    assert agent.seen[3][1]["updates"] == 20


@pytest.mark.parametrize("method", ["recycle", "grow"])
def test_what_a_life_costs_is_charged_once_whether_or_not_metrics_look(method):
    learner, found = replace(SMALL, live=0.25 if method == "grow" else 1.0), []
    for metrics in (None, plasticity_metrics(parity=True)):
        mine = plugin(METHODS[method].make(), learner, every=13)
        made = strategy(mine.network(64, 10), [mine], metrics=metrics)
        torch.manual_seed(0)
        for experience in benchmark().train_stream:
            made.train(experience)
        widths = (64, 6, 4, 10) if method == "grow" else (64, 24, 16, 10)
        first = 16 * training_macs(mine.population.network, widths)  # the first minibatch, before the first decision
        macs = [outcome.macs for outcome in mine.outcomes]
        assert first + sum(macs) == mine._life.standing.ledger.total[0]
        found.append(macs)
    assert found[0] == found[1]
    if method == "recycle":  # at each shift: 13 batches of 16, and probes of 64, at birth and at the end
        assert found[0][2] == (13 * 16 + 2 * 64) * training_macs(mine.population.network, widths)


def test_metrics_freeze_nobody():
    mine = plugin(NoEdit(), every=20)
    made = strategy(mine.network(64, 10), [mine])
    made.train(benchmark().train_stream[0])
    healthy = {name: value.clone() for name, value in made.model.state_dict().items()}
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.mul_(1e30)
    assert np.isfinite(mine.measure().loss).all()
    made.model.load_state_dict(healthy)
    made.train(benchmark().train_stream[1])
    assert not mine.outcomes[-1].diverged


def test_the_last_outcome_ends_the_life():
    mine = plugin(NoEdit(), updates=2 * UPDATES)
    made = strategy(mine.network(64, 10), [mine])
    for experience in benchmark().train_stream[:2]:
        made.train(experience)
    assert [outcome.terminated for outcome in mine.outcomes] == [False, True]


def test_networks_that_compute_something_else_are_refused():
    data = benchmark().train_stream[0]

    def network(activation, inputs=64, last=()):
        layers = [nn.Linear(inputs, 24), activation, nn.Linear(24, 16), activation, nn.Linear(16, 10), *last]
        return nn.Sequential(nn.Flatten(), *layers)

    for model in (network(nn.Tanh()), network(nn.LeakyReLU()), network(nn.ReLU(), last=[nn.Unflatten(1, (2, 5))])):
        with pytest.raises(InvalidSetting, match=r"doesn't compute the same.*PlasticPlugin\.network\("):
            strategy(model, [plugin(NoEdit())]).train(data)
    for activation in ("tanh", "leaky_relu"):
        module = {"tanh": nn.Tanh(), "leaky_relu": nn.LeakyReLU()}[activation]
        strategy(network(module), [plugin(NoEdit(), replace(SMALL, activation=activation))]).train(data)
    model, modes = network(nn.Sequential(nn.ReLU(), nn.Dropout(0.5))), Modes()
    strategy(model, [plugin(NoEdit()), modes]).train(data)
    assert all(modes.seen)  # the comparison is made in evaluation mode


class Modes(SupervisedPlugin):
    """Remembers which modules are in training mode at the first iteration."""

    def after_forward(self, strategy, *_, **__):
        if strategy.clock.train_iterations == 0:
            self.seen = [module.training for module in strategy.model.modules()]


def test_training_ends_when_it_was_said_to():
    mine = plugin(NoEdit(), updates=30, every=7)
    made = strategy(mine.network(64, 10), [mine])
    experiences = benchmark().train_stream
    made.train(experiences[0])
    with pytest.raises(InvalidSetting, match="updates is 30"):
        made.train(experiences[1])
    exact = plugin(NoEdit(), updates=TASKS * UPDATES, every=7)
    made = strategy(exact.network(64, 10), [exact])
    for experience in experiences:
        made.train(experience)
    assert np.concatenate([outcome.weights for outcome in exact.outcomes]).sum() == pytest.approx(1)


@pytest.mark.parametrize("given", [{"updates": 2.5}, {"updates": 0}, {"every": 0}, {"seed": -1}, {"seed": "x"}])
def test_numbers_that_make_no_sense_are_refused(given):
    with pytest.raises(InvalidSetting, match=f"{next(iter(given))} is .*whole number"):
        plugin(NoEdit(), **given)


@pytest.mark.parametrize(("agent", "named"), [(NoEdit, "the class NoEdit"), ("recycle", "'recycle'")])
def test_what_is_no_agent_is_refused(agent, named):
    with pytest.raises(InvalidSetting, match=f"agent is {named}; give an object"):
        plugin(agent)


def test_what_cannot_be_edited_is_refused():
    data = benchmark().train_stream[0]
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 10))
    with pytest.raises(InvalidSetting, match="learner settings make"):
        strategy(other, [plugin(NoEdit())]).train(data)
    mine = plugin(NoEdit())
    with pytest.raises(InvalidSetting, match="RMSprop"):
        strategy(mine.network(64, 10), [mine], lambda model: torch.optim.RMSprop(model.parameters())).train(data)
    mine = plugin(Scripted(edits=[{"recycle": 2, "trainability": "two_speed"}]))
    with pytest.raises(InvalidEdit, match="no learning rate per unit"):
        strategy(mine.network(64, 10), [mine]).train(data)
    mine = plugin(Prune())
    with pytest.raises(InvalidSetting, match="no bias"):
        strategy(nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False)), [mine]).train(data)


def test_rules_of_the_training_loop_are_refused():
    with pytest.raises(InvalidSetting, match="maintained by L2Init, but the strategy trains"):
        PlasticPlugin(Recycle(), LearnerSettings(maintenance=(L2Init(),)), updates=5)
