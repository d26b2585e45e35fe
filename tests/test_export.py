"""An exported learner computes what the learner does, and needs nothing of this project."""

import os
import subprocess
import sys

import helpers
import numpy as np
import pytest
import torch

from plastic_env import Conv, Edit
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.export import save_module, to_module


def edited(activation="relu"):
    population = helpers.population(2, live=0.5, activation=activation)
    population.train(*helpers.batches(20, 2))
    population.edit({1: Edit(grow=(3, 1), prune=(1, 0), grow_rule="random")}, helpers.probe(population))
    return population


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_module_computes_the_same(activation):
    population = edited(activation)
    x, _ = helpers.batches(1, 2, 9)
    logits = population.predict(x[0])
    for member in (0, 1):
        module = to_module(population, member)
        torch.testing.assert_close(module(x[0, member]), logits[member], rtol=0, atol=1e-6)
    assert [m.out_features for m in to_module(population, 1) if isinstance(m, torch.nn.Linear)] == [8, 6, 4]


def test_module_is_a_copy():
    population = edited()
    module, before = to_module(population), population.state.weights.clone()
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(population.state.weights, before)


def test_saved_module_opens_where_this_project_is_not(tmp_path):
    population = edited("smooth_leaky")
    module, (x, _) = to_module(population, 1), helpers.batches(1, 1, 9)
    save_module(module, tmp_path / "net.pt2", helpers.INPUTS)
    torch.save(x[0, 0], tmp_path / "x.pt")
    code = (
        "import sys; sys.modules['plastic_env'] = None\n"
        "import torch; net = torch.export.load('net.pt2').module()\n"
        "torch.save(net(torch.load('x.pt')).detach(), 'y.pt')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ""})
    torch.testing.assert_close(torch.load(tmp_path / "y.pt"), module(x[0, 0]).detach(), rtol=0, atol=1e-6)


def convolutional():
    population = helpers.population(
        2, inputs=helpers.PICTURE, hidden=(Conv(6), Conv(8, pool=1), 10), live=0.5, norm="batch", activation="crelu"
    )
    population.train(*helpers.batches(20, 2, inputs=population.network.inputs))
    population.edit({1: Edit(grow=(2, 1, 3), grow_rule="random")}, helpers.probe(population))
    return population


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("make", [lambda: edited("smooth_leaky"), convolutional], ids=["dense", "convolutional"])
def test_onnx(tmp_path, make):
    onnxruntime = pytest.importorskip("onnxruntime")
    population = make()
    module = to_module(population, 1).float()
    x = torch.randn(5, population.network.inputs)
    torch.onnx.export(module, (x,), str(tmp_path / "net.onnx"), dynamo=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(found, module(x).detach(), atol=1e-5)
