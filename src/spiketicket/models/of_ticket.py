"""Between a searched model, a ticket, and a plain PyTorch model.

``to_ticket`` takes what the layers compute with now; ``from_ticket`` builds the network anew from
the registry and loads it. Both sides hold the same float32 numbers, so the logits are equal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.errors import UserError, argument
from spiketicket.machine.typed import typed
from spiketicket.models.blocks import DataShape
from spiketicket.models.encoder import build_model, encoder_of
from spiketicket.models.int8 import hold_codes
from spiketicket.models.prunable import PRUNABLE, TrainedWeight
from spiketicket.models.traced.network import traced_network
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import registry
from spiketicket.recipe.consent import Consent, given
from spiketicket.recipe.shapes import FILTERS
from spiketicket.ticket import Ticket, TicketError, TicketLayer, as_ticket
from spiketicket.ticket.admission import MISFIT, check_weights
from spiketicket.ticket.schema import check_network, has_layers

_PARAMETRIZED = ".parametrizations."


def to_ticket(model: nn.Module, metadata: Mapping[str, Any]) -> Ticket:
    """The ticket of a model whose layers carry a search's or a control's parametrization."""
    layers = []
    for name, layer in model.named_modules():
        if isinstance(layer, PRUNABLE) and hasattr(layer, "parametrizations"):
            layers.append(_layer(name, layer))
    state = {k: v for k, v in model.state_dict().items() if _PARAMETRIZED not in f".{k}"}
    tensors = {k: v.detach().cpu().numpy() for k, v in state.items()}
    return Ticket(tuple(layers), tensors, metadata)


@typed
def load_into(
    model: nn.Module, ticket: Ticket | str | os.PathLike[str], *, keep_mask: bool = False
) -> nn.Module:
    """Put a ticket's weights into a plain network of the same shapes, in place; returns it.

    ``ticket`` may be its path or its name in the zoo.

    Without ``keep_mask`` the network is a plain one, and an optimizer fills the zeros. With it
    they are held: each layer of the ticket computes with its weight times the mask, by
    ``torch.nn.utils.parametrize``; gradients of pruned weights are 0, and no optimizer brings one
    back. ``layer.weight`` is the masked weight, what is trained is
    ``layer.parametrizations.weight.original``. Make the optimizer afterwards.
    :func:`remove_masks` makes the network plain again.

    Raises:
        TicketError: the ticket is for another network (names what differs), or the filters of its
            encoder are no numbers.
    """
    ticket = as_ticket(ticket)
    outer, model = model, _unwrapped(model)
    ours = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    state = ticket.state()
    if ours.keys() != state.keys():  # searched in a network that was wrapped
        bare = {_bare(k): v for k, v in state.items()}
        state = bare if ours.keys() == bare.keys() else state
    theirs = {k: tuple(v.shape) for k, v in state.items()}
    if ours != theirs:
        keys = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
        key = keys[0]
        if any(_PARAMETRIZED in f".{held}" for held in ours):
            raise TicketError(
                "the network's weights are parametrized already",
                value=key,
                remedy="Give it as it is built; remove_masks(net) undoes keep_mask=True",
            )
        what = f"the ticket is for another network: {len(keys)} entries differ, the first is {key}"
        shown = f"network {_shape(ours.get(key))}, ticket {_shape(theirs.get(key))}"
        raise TicketError(what, value=shown)
    if encoder_of(model) is not None and not np.isfinite(state[FILTERS]).all():
        raise TicketError("must be finite numbers", where=FILTERS)
    model.load_state_dict({k: torch.from_numpy(np.asarray(v)) for k, v in state.items()})
    for layer in ticket.layers if keep_mask else ():
        name = layer.name if f"{layer.name}.weight" in ours else _bare(layer.name)
        module = model.get_submodule(name)
        mask = torch.from_numpy(layer.mask.copy()).to(cast("Tensor", module.weight).device)
        _hold(module, mask)
    return outer


_WRAPPERS: Final = ("_orig_mod", "module")
"""Names under which torch.compile, and DataParallel and DistributedDataParallel hold a network."""


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network inside of those; its weights are theirs."""
    while len(held := dict(model.named_children())) == 1 and type(model) in _wrappers():
        (model,) = held.values()
    return model


def _wrappers() -> tuple[type[nn.Module], ...]:
    from torch._dynamo import OptimizedModule

    return (OptimizedModule, nn.DataParallel, nn.parallel.DistributedDataParallel)


def _bare(name: str) -> str:
    """The name of an entry without those of the wrappers before it."""
    first, _, rest = name.partition(".")
    return _bare(rest) if first in _WRAPPERS and rest else name


@typed
def state_dict(ticket: Ticket | str | os.PathLike[str]) -> dict[str, Tensor]:
    """A ticket as the state dict of its network: new tensors on the CPU, pruned weights are 0.

    ``model.load_state_dict(spiketicket.state_dict("my.ticket"))`` puts it into any network of the
    same shapes; :func:`load_into` says what differs where there is another.
    """
    state = as_ticket(ticket).state()
    return {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}


@typed
def remove_masks(model: nn.Module) -> nn.Module:
    """Make a network of ``load_into(..., keep_mask=True)`` plain again, in place; returns it.

    Pruned weights are 0 then, and nothing holds them any more.
    """
    for layer in model.modules():
        held = getattr(layer, "parametrizations", {})
        if "weight" in held and isinstance(held["weight"][0], TrainedWeight):
            parametrize.remove_parametrizations(layer, "weight")
    return model


def _hold(layer: nn.Module, mask: Tensor) -> nn.Module:
    held = TrainedWeight(mask, binary=False)
    parametrize.register_parametrization(layer, "weight", held, unsafe=True)
    # torch gives the layer a class of its own, which it refuses to pickle.
    type(layer).__reduce_ex__ = _pickled  # type: ignore[assignment,method-assign]
    return layer


def _pickled(layer: nn.Module, protocol: object) -> tuple[Any, ...]:
    del protocol
    state, inner = dict(layer.__dict__), dict(layer._modules)
    weight = cast("Any", inner.pop("parametrizations")).weight
    parameters = {"weight": weight.original, **layer._parameters}
    state |= {"_modules": inner, "_parameters": parameters}
    return _unpickled, (type(layer).__mro__[1], state, weight[0].mask)


def _unpickled(kind: type[nn.Module], state: dict[str, Any], mask: Tensor) -> nn.Module:
    layer = kind.__new__(kind)
    layer.__dict__.update(state)
    return _hold(layer, mask)


@typed
def from_ticket(
    ticket: Ticket | str | os.PathLike[str],
    kernel: Kernel = "auto",
    *,
    network: str = "",
    options: Mapping[str, Any] | None = None,
    trust_options: bool = False,
) -> nn.Module:
    """A plain PyTorch model in evaluation mode, without any parametrization.

    ``ticket`` may be its path or its name in the zoo.

    A custom network whose ticket holds its graph (see :func:`spiketicket.with_graph`) is made of
    that, without its own code. Else ``network`` is its name, ``module:function``, and ``options``
    are the arguments that its function is called with. A ticket alone is not believed: it could
    name any function on this machine, so both must be what it states. ``trust_options`` takes the
    arguments that it states.

    Raises:
        TicketError: its network is unknown, was not one of this package, or does not fit; what
            you named is not what it states.
    """
    ticket = as_ticket(ticket)
    check_network(ticket.metadata)
    if not network and has_layers(ticket.metadata):
        return _with_codes(traced_network(ticket), ticket)
    if name := custom_name(ticket):
        if network != name:
            raise TicketError(
                "is of a custom network",
                value=name,
                remedy=f"If you trust that function, say so: {argument('network', name)}",
            )
        return _custom_network(ticket, kernel, Consent(network, options, trust_options))
    layers = {layer.name: layer.shape for layer in ticket.layers}
    check_weights(ticket.metadata, layers, ticket.tensors)
    with torch.device("meta"):
        # First without memory: a forged size must not be allocated.
        sizes = {k: tuple(v.shape) for k, v in _network(ticket, kernel).state_dict().items()}
    expected = {k: tuple(v.shape) for k, v in ticket.tensors.items()}
    expected |= {f"{layer}.weight": shape for layer, shape in layers.items()}
    if sizes != expected:
        raise TicketError(MISFIT, value=_network_name(ticket))
    return _with_codes(load_into(_network(ticket, kernel), ticket), ticket).eval()


def _custom_network(ticket: Ticket, kernel: Kernel, consent: Consent) -> nn.Module:
    """Made by exactly the function that the user named, with exactly the user's arguments."""
    model = ticket.metadata["network"].get("args", {}).get("model", {})
    stated = model.get("options", {})
    try:
        consent.require_options(stated, "network.args.model.options")
    except UserError as error:
        raise TicketError(
            error.what, where=error.where, value=error.value, remedy=error.remedy
        ) from error
    options = stated if consent.options is None else consent.options
    named = {**model, "name": consent.network, "options": dict(options)}
    with given(consent):
        made = load_into(_network(ticket, kernel, named), ticket)
        return _with_codes(made, ticket).eval()


def _with_codes(model: nn.Module, ticket: Ticket) -> nn.Module:
    """The network, whose int8 layers compute as :mod:`spiketicket.models.int8` says."""
    for layer in ticket.layers:
        if layer.codes is not None and layer.scales is not None:
            held = model.get_submodule(layer.name)
            codes, scales = (torch.from_numpy(a.copy()) for a in (layer.codes, layer.scales))
            hold_codes(held, codes, scales)
    return model


def _network(ticket: Ticket, kernel: Kernel, custom: Mapping[str, Any] | None = None) -> nn.Module:
    """The network that a ticket names; ``custom`` is the model section of a custom one."""
    network = ticket.metadata.get("network")
    try:
        args = cast("dict[str, Any]", network)["args"]
        settings = args["model"] if custom is None else custom
        name = cast("dict[str, Any]", network)["name"] if custom is None else custom["name"]
        models = registry.load("models", name) if custom is None else registry.load_network(name)
        neurons = registry.load("neurons", args["neuron"]["name"])
        model, neuron = models.Config(**settings), neurons.Config(**args["neuron"])
        built = build_model(model, neuron, DataShape(**args["shape"]), kernel)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        what = "does not name a network of this package"
        remedy = "A ticket of a custom network is loaded with spiketicket.load_into(model, ticket)"
        raise TicketError(what, value=network, remedy=remedy) from error
    return built


def custom_name(ticket: Ticket) -> str:
    """The ``module:function`` that made its network where that is one of the user's, or ""."""
    name = _network_name(ticket)
    return str(name) if registry.is_custom(name) else ""


def _network_name(ticket: Ticket) -> object:
    network = ticket.metadata.get("network")
    return network.get("name") if isinstance(network, dict) else network


def _layer(name: str, layer: nn.Module) -> TicketLayer:
    parametrization = cast("Any", layer).parametrizations.weight[0]
    with torch.no_grad():
        weight = cast("Tensor", layer.weight).detach().cpu().contiguous()
    shape = tuple(weight.shape)
    mask = parametrization.mask
    mask = torch.ones(shape, dtype=torch.bool) if mask is None else mask.cpu().contiguous()
    if not parametrization.binary:
        values = torch.where(mask, weight, torch.zeros_like(weight)).numpy()
        return TicketLayer(name=name, shape=shape, kind="float", mask=mask.numpy(), values=values)
    signs = torch.where(weight < 0, -1, 1).to(torch.int8) * mask
    alpha = float(weight.abs().max())
    if not torch.equal(alpha * signs.float(), weight):
        raise UserError("the layer is not alpha times -1, 0 or +1", where=name)
    return TicketLayer(
        name=name, shape=shape, kind="binary", mask=mask.numpy(), alpha=alpha, signs=signs.numpy()
    )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "has none" if shape is None else str(list(shape))
