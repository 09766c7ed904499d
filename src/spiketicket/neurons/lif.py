"""Leaky integrate-and-fire neuron, multi-step (Cheng et al. 2024, section III).

Argument names are SpikingJelly's; the equations stand in ``LIF``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.machine.private import own_compiler_cache
from spiketicket.neurons import native
from spiketicket.neurons.surrogate import SurrogateName, spike
from spiketicket.recipe import NeuronConfig

Kernel = Literal["auto", "native", "compile", "eager"]
_MOST_COMPILED = 128
"""A network has one or two configurations, and meets a few kinds of input."""
_COUNT = itertools.count()


class Config(NeuronConfig):
    """Parameters of the LIF neuron."""

    name: Literal["lif"] = "lif"
    decay: Annotated[float, Ge(0), Lt(1)] = 0.5
    """lambda; 1 - 1/tau in SpikingJelly's words."""
    decay_input: bool = False
    """Whether the input is scaled as SpikingJelly does, by 1/tau = 1 - decay."""
    v_threshold: Annotated[float, Gt(0), Le(1e6)] = 1.0
    """Potential from which on the neuron spikes."""
    v_reset: float | Literal["soft"] = 0.0
    """Potential after a spike; "soft" subtracts the threshold."""
    surrogate: SurrogateName = "sigmoid"
    """Smooth step whose derivative is the gradient of a spike."""
    alpha: Annotated[float, Gt(0), Le(1e4)] = 4.0
    """Steepness of the surrogate."""
    detach_reset: bool = True
    """Whether the reset is left out of the gradient."""

    @property
    def tau(self) -> float:
        """Time constant in steps."""
        return 1.0 / (1.0 - self.decay)

    @property
    def v_rest(self) -> float:
        """Where the membrane starts and leaks to."""
        return 0.0 if self.v_reset == "soft" else self.v_reset


def charge(v: Tensor, current: Tensor, config: Config) -> Tensor:
    """Membrane potential after one step of input."""
    if config.decay_input:
        return v + (current - (v - config.v_rest)) / config.tau
    if config.v_rest == 0:
        return v * config.decay + current
    return v - (v - config.v_rest) / config.tau + current


def simulate(current: Tensor, config: Config) -> Tensor:
    """The definition: spikes ``[T, ...]`` of the input current ``[T, ...]``, step by step."""
    v = torch.full_like(current[0], config.v_rest)
    spikes = []
    for step in current.unbind(0):
        u = charge(v, step, config)
        s = spike(u - config.v_threshold, config.surrogate, config.alpha)
        reset = s.detach() if config.detach_reset else s
        if config.v_reset == "soft":
            v = u - reset * config.v_threshold
        else:
            v = (1.0 - reset) * u + reset * config.v_reset
        spikes.append(s)
    return torch.stack(spikes)


class LIF(nn.Module):
    r"""Leaky integrate-and-fire: spikes ``[T, ...]`` (0/1) of an input current ``[T, ...]``.

    For each step n, with the decay $\lambda$ and $V[-1] = V_{\text{reset}}$:

    $$U[n] = \lambda V[n-1] + I[n]$$

    $$S[n] = 1 \text{ if } U[n] \ge V_{\text{th}} \text{, else } 0$$

    and then a hard or (``v_reset = "soft"``) a soft reset:

    $$V[n] = U[n] (1 - S[n]) + V_{\text{reset}} S[n]$$

    $$V[n] = U[n] - V_{\text{th}} S[n]$$

    ``decay_input = True`` scales the input as SpikingJelly does, with
    $\tau = 1 / (1 - \lambda)$:

    $$U[n] = V[n-1] + (I[n] - (V[n-1] - V_{\text{reset}})) / \tau$$

    With $\lambda$ near 1 that form hardly ever fires within few time steps, so the additive form
    is the default. A ``v_reset`` other than 0 is also where the membrane leaks to:

    $$U[n] = V[n-1] - (V[n-1] - V_{\text{reset}}) / \tau + I[n]$$

    The output has the dtype of the input.

    Args:
        config: the parameters.
        kernel: ``native`` (C, CPU), ``compile`` (torch.compile), ``eager``, or ``auto``: native
            on a CPU where the installation built it, torch.compile on a GPU, eager otherwise.
    """

    def __init__(self, config: Config, kernel: Kernel = "auto") -> None:
        super().__init__()
        self.config = config
        self.kernel = kernel

    def forward(self, current: Tensor) -> Tensor:
        kernel = resolve_kernel(self.kernel, current.device)
        if kernel == "native":
            return native.lif(current, self.config)
        if kernel == "compile":
            flat = current.flatten(1)
            return _compiled(self.config, *_kind(flat))(flat).view(current.shape)
        return simulate(current, self.config)

    def extra_repr(self) -> str:
        c = self.config
        return f"decay={c.decay}, v_threshold={c.v_threshold}, v_reset={c.v_reset}"


def resolve_kernel(kernel: Kernel, device: torch.device) -> Kernel:
    """The kernel that ``auto`` stands for on this device; any other is returned as it is.

    Raises:
        UserError: ``native`` was asked for and cannot be had.
    """
    if kernel == "native":
        if device.type != "cpu":
            what = "the native neuron kernel runs on a CPU only"
            raise UserError(what, where="train.kernel", value=device.type, remedy='Use "auto"')
        native.require()
        return kernel
    if kernel != "auto":
        return kernel
    if device.type == "cpu":
        return "native" if native.available() else "eager"
    return "compile" if device.type == "cuda" else "eager"


def _kind(current: Tensor) -> tuple[object, ...]:
    """What torch.compile makes a graph of its own for, besides sizes (at most three graphs)."""
    gradient = current.requires_grad, torch.is_grad_enabled(), torch.is_inference(current)
    autocast = torch.is_autocast_enabled(current.device.type)
    return len(current), current.dtype, current.device, *gradient, autocast


@functools.lru_cache(maxsize=_MOST_COMPILED)
def _compiled(config: Config, *kind: object) -> Callable[[Tensor], Tensor]:
    """The neuron, compiled for one configuration and one kind of input.

    Graphs are kept, and counted, by code object: behind one code object the ninth graph would not
    be compiled, and from there on the process would compute every new one step by step.
    """
    del kind

    def neuron(current: Tensor) -> Tensor:
        return simulate(current, config)

    code = neuron.__code__.replace(co_name=f"neuron_{next(_COUNT)}")
    neuron.__code__ = code
    own_compiler_cache()
    return torch.compile(neuron)


def make(config: Config, kernel: Kernel = "auto") -> nn.Module:
    """The neuron as a module."""
    return LIF(config, kernel)
