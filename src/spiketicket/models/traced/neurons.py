"""The neurons of other libraries in the words of the engine.

A module is known by the name of its class and of the library the class is from, so that no library
is imported that the network does not use. What a neuron computes is written here as its library has
it, operation by operation; that it is the same is found out by comparing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

KNOWN = (
    "LIF, Step, ReLU and Sign of spiketicket; IFNode, LIFNode and ParametricLIFNode of"
    " SpikingJelly; Leaky and Synaptic of snnTorch; LIF, LIFCell, LIFBoxCell, IAF, IAFCell, LI and"
    " LICell of norse"
)
Parameters = Mapping[str, Any]


class UnknownNeuronError(Exception):
    """A neuron, or a setting of one, that has no form in the engine; the text says which."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a neuron does, as ops of a graph one after the other.

    Args:
        ops: name of the op and its parameters.
        whole: it is called once with all steps ``[T, ...]``, and not once per step.
        state: whether its output depends on earlier steps.
        membrane: the op, counted from 0, whose output it returns second; None: it cannot be read.
    """

    ops: tuple[tuple[str, Parameters], ...]
    whole: bool
    state: bool = True
    membrane: int | None = None


def is_neuron(module: nn.Module) -> bool:
    """Whether a module is a neuron of one of the libraries, known or not."""
    return _library(module) in _READERS and _kind(module) is not None


def read(module: nn.Module) -> Reading:
    """What a neuron computes.

    Raises:
        UnknownNeuronError: there is no form of it in the engine.
    """
    reader = _READERS[_library(module)].get(type(module).__name__)
    if reader is None:
        raise UnknownNeuronError(f"is a neuron of {_library(module)} that is not known")
    return reader(module)


def _library(module: nn.Module) -> str:
    return type(module).__module__.partition(".")[0]


def _kind(module: nn.Module) -> str | None:
    """The library's own word for what its neurons have in common."""
    for kind in type(module).__mro__:
        name = f"{kind.__module__}.{kind.__name__}"
        for start, library, bases in _BASES:
            if name.startswith(start) and kind.__name__ in bases:
                return library
    return None


_BASES = (
    ("spiketicket.neurons", "spiketicket", ("LIF", "Step", "ReLU", "Sign")),
    (
        "spikingjelly.activation_based.neuron",
        "spikingjelly",
        ("BaseNode", "SimpleBaseNode", "NonSpikingBaseNode", "MemoryModule", "StepModule"),
    ),
    ("snntorch._neurons", "snntorch", ("SpikingNeuron",)),
    ("norse.torch.module", "norse", ("SNN", "SNNCell", "SNNRecurrent", "SNNRecurrentCell")),
)


def _number(value: Any, what: str) -> float:
    """One float32 number, of a parameter that may be a tensor."""
    if not isinstance(value, Tensor):
        return float(torch.tensor(value, dtype=torch.float32))
    flat = value.detach().float().flatten()
    if flat.numel() != 1 and not bool((flat == flat[0]).all()):
        raise UnknownNeuronError(f"has a {what} for each neuron; known is one for all")
    return float(flat[0])


def _refuse(wrong: bool, what: str) -> None:
    if wrong:
        raise UnknownNeuronError(what)


# ---- spiketicket


def _own_lif(module: Any) -> Reading:
    c = module.config
    neuron = {
        "kind": "lif",
        "charge": 2 if c.decay_input else 1 if c.v_rest else 0,
        "soft": c.v_reset == "soft",
        "decay": c.decay,
        "tau": c.tau,
        "v_threshold": c.v_threshold,
        "v_reset": c.v_rest,
        "v_rest": c.v_rest,
    }
    return Reading(ops=(("neuron", neuron),), whole=True)


def _own_step(module: Any) -> Reading:
    neuron = {"kind": "step", "v_threshold": module.config.v_threshold}
    return Reading(ops=(("neuron", neuron),), whole=True, state=False)


def _own_relu(module: Any) -> Reading:
    del module
    return Reading(ops=(("neuron", {"kind": "relu"}),), whole=True, state=False)


def _own_sign(module: Any) -> Reading:
    del module
    return Reading(ops=(("neuron", {"kind": "sign"}),), whole=True, state=False)


# ---- SpikingJelly: h charged, fires at h >= v_threshold, reset to v_reset or by v_threshold


def _jelly(module: Any, **charge: Any) -> Reading:
    _refuse(
        getattr(module, "_neuron_precision", None) is not None,
        "computes in a precision of its own",
    )
    soft = module.v_reset is None
    rest = 0.0 if soft else _number(module.v_reset, "v_reset")
    neuron = {
        "kind": "lif",
        "soft": soft,
        "v_threshold": _number(module.v_threshold, "v_threshold"),
        "v_reset": rest,
        "v_rest": rest,
        **charge,
    }
    return Reading(ops=(("neuron", neuron),), whole=module.step_mode == "m")


def _jelly_if(module: Any) -> Reading:
    return _jelly(module, charge=0, decay=1.0)


def _jelly_lif(module: Any) -> Reading:
    return _jelly(module, charge=2 if module.decay_input else 1, tau=float(module.tau))


def _jelly_plif(module: Any) -> Reading:
    rate = float(module.w.detach().float().sigmoid())
    return _jelly(module, charge=3 if module.decay_input else 4, decay=rate)


# ---- snnTorch: fires at u > threshold, and is reset in the step after that


def _snntorch(module: Any) -> Parameters:
    _refuse(bool(module.inhibition), "inhibits the neurons beside the strongest")
    _refuse(bool(module.state_quant), "quantises its state")
    graded = _number(module.graded_spikes_factor, "graded_spikes_factor")
    _refuse(graded != 1, "gives graded spikes; known is graded_spikes_factor=1")
    _refuse(not module.reset_delay, "resets at once; known is reset_delay=True")
    beta = min(1.0, max(0.0, _number(module.beta, "beta")))
    threshold = _number(module.threshold, "threshold")
    _refuse(threshold < 0, "has a threshold below 0")
    return {
        "kind": "lif",
        "charge": 0,
        "decay": beta,
        "v_threshold": threshold,
        "strict": True,
    }


def _leaky(module: Any) -> Reading:
    neuron = _snntorch(module)
    if module.reset_mechanism == "none":
        above = float(torch.nextafter(torch.tensor(neuron["v_threshold"]), torch.tensor(torch.inf)))
        sums = ("leak", {"rate": neuron["decay"]})
        fires = ("neuron", {"kind": "step", "v_threshold": above})
        return Reading(ops=(sums, fires), whole=False, membrane=0)
    return Reading(ops=(("neuron", {**neuron, **_resets(module)}),), whole=False)


def _synaptic(module: Any) -> Reading:
    neuron = _snntorch(module)
    _refuse(
        module.reset_mechanism == "zero",
        'resets its current; known are reset_mechanism "subtract" and "none"',
    )
    alpha = min(1.0, max(0.0, _number(module.alpha, "alpha")))
    resets = {"keep": True} if module.reset_mechanism == "none" else _resets(module)
    ops = (("leak", {"rate": alpha}), ("neuron", {**neuron, **resets}))
    return Reading(ops=ops, whole=False)


def _resets(module: Any) -> Parameters:
    if module.reset_mechanism == "zero":
        return {"v_reset": 0.0}
    return {"soft": True, "late": True}


# ---- norse: fires at v > v_th, with dt * tau_inv in place of 1 / tau


def _rate(module: Any, of: Any) -> float:
    return _number(torch.as_tensor(module.dt * of), "time constant")


def _norse_lif(module: Any) -> Reading:
    p = module.p
    ops = (
        ("leak", {"own": True, "rate": -_rate(module, p.tau_syn_inv)}),
        ("neuron", _norse(p, charge=3, decay=_rate(module, p.tau_mem_inv))),
    )
    return Reading(ops=ops, whole=not type(module).__name__.endswith("Cell"))


def _norse_box(module: Any) -> Reading:
    p = module.p
    neuron = dict(_norse(p, charge=3, decay=_rate(module, p.tau_mem_inv)))
    reset = getattr(getattr(p, "reset_method", None), "__name__", "reset_value")
    _refuse(reset not in ("reset_value", "reset_subtract"), f"is reset by {reset}")
    return Reading(ops=(("neuron", {**neuron, "soft": reset == "reset_subtract"}),), whole=False)


def _norse_iaf(module: Any) -> Reading:
    neuron = _norse(module.p, charge=0, decay=1.0)
    return Reading(ops=(("neuron", neuron),), whole=not type(module).__name__.endswith("Cell"))


def _norse_li(module: Any) -> Reading:
    p = module.p
    _refuse(_number(p.v_leak, "v_leak") != 0, "leaks to another v_leak than 0")
    rate = _rate(module, p.tau_mem_inv)
    ops = (
        ("leak", {"own": True, "rate": -_rate(module, p.tau_syn_inv)}),
        ("scale", {"factor": rate}),
        ("leak", {"own": True, "rate": -rate}),
    )
    return Reading(ops=ops, whole=not type(module).__name__.endswith("Cell"))


def _norse(p: Any, **charge: Any) -> Parameters:
    return {
        "kind": "lif",
        "v_threshold": _number(p.v_th, "v_th"),
        "v_reset": _number(p.v_reset, "v_reset"),
        "v_rest": _number(getattr(p, "v_leak", 0.0), "v_leak"),
        "strict": True,
        **charge,
    }


_READERS: Mapping[str, Mapping[str, Callable[[Any], Reading]]] = {
    "spiketicket": {"LIF": _own_lif, "Step": _own_step, "ReLU": _own_relu, "Sign": _own_sign},
    "spikingjelly": {
        "IFNode": _jelly_if,
        "LIFNode": _jelly_lif,
        "ParametricLIFNode": _jelly_plif,
    },
    "snntorch": {"Leaky": _leaky, "Synaptic": _synaptic},
    "norse": {
        "LIF": _norse_lif,
        "LIFCell": _norse_lif,
        "LIFBoxCell": _norse_box,
        "IAF": _norse_iaf,
        "IAFCell": _norse_iaf,
        "LI": _norse_li,
        "LICell": _norse_li,
    },
}
