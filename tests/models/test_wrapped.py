"""Tickets of networks inside torch.compile and DataParallel, whose entries have other names."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from spiketicket.models.of_ticket import load_into
from spiketicket.ticket import Ticket, TicketError, TicketLayer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile
WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": lambda net: net,
    "compiled": torch.compile,
    "parallel": nn.DataParallel,
    "both": lambda net: torch.compile(nn.DataParallel(net)),
}


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def ticket_of(model: nn.Module) -> Ticket:
    """A ticket with the names of the entries of a network as it is, every second weight kept."""
    layers, tensors = [], {}
    for name, value in model.state_dict().items():
        array = value.numpy().copy()
        if not name.endswith("weight"):
            tensors[name] = array
            continue
        mask = (torch.arange(array.size) % 2 == 0).reshape(array.shape).numpy()
        array[~mask] = 0
        where = name.removesuffix(".weight")
        layers.append(
            TicketLayer(name=where, shape=array.shape, kind="float", mask=mask, values=array)
        )
    return Ticket(tuple(layers), tensors, {})


@pytest.mark.parametrize("into", WRAPPED)
@pytest.mark.parametrize("of", WRAPPED)
@pytest.mark.parametrize("keep_mask", [False, True])
def test_a_ticket_fits_whatever_is_around_the_network(of: str, into: str, keep_mask: bool) -> None:
    made = net()
    ticket, inner = ticket_of(WRAPPED[of](made)), net()
    outer = WRAPPED[into](inner)
    assert load_into(outer, ticket, keep_mask=keep_mask) is outer
    kept = made[0].weight.detach().flatten().clone()
    kept[1::2] = 0
    assert torch.equal(inner[0].weight.detach().flatten(), kept)
    assert torch.equal(inner[2].bias, made[2].bias)


def test_a_layer_of_that_name_is_no_wrapper() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(3, 2)

    made, other = Own(), Own()
    load_into(other, ticket_of(made))
    assert torch.equal(other.module.bias, made.module.bias)
    with pytest.raises(TicketError, match="another network"):
        load_into(nn.Sequential(nn.Linear(3, 2)), ticket_of(made))
