"""A training goes on from where it was: network, optimiser, time and steps."""

import pytest

from shared.packages.checkpoint import resume, save

torch = pytest.importorskip("torch", reason="torch is in the train extra only")


def trained(steps):
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 1)
    optimiser = torch.optim.AdamW(network.parameters(), 0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        network(torch.ones(2, 3)).sum().backward()
        optimiser.step()
    return network, optimiser


def test_a_training_goes_on_as_if_it_had_not_stopped(tmp_path):
    path = tmp_path / "network.pt"
    network, optimiser = trained(2)
    save(network, optimiser, path, 12.5, 2)
    other, its = trained(0)
    assert resume(other, its, path) == (12.5, 2)
    for one, steps in ((network, optimiser), (other, its)):
        steps.zero_grad()
        one(torch.ones(2, 3)).sum().backward()
        steps.step()
    assert torch.equal(network.weight, other.weight), "the optimiser's moments came along"
    assert [p.name for p in tmp_path.iterdir()] == ["network.pt"]


def test_nothing_there_is_a_start(tmp_path):
    assert resume(*trained(0), tmp_path / "none.pt") == (0.0, 0)
