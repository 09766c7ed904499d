"""What torch's functions do to a tensor that is followed, by the function's name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor, nn

from spiketicket.models.traced.axes import (
    Axes,
    AxesError,
    Axis,
    axis,
    ends_with,
    features,
    find,
    plain,
    reshaped,
)
from spiketicket.models.traced.neurons import Reading
from spiketicket.models.traced.recorder import Followed, Recorder, UnknownStepError

Rule = Callable[["Call"], Any]


class Call:
    """A function that is called with a followed tensor.

    Args:
        recorder: who follows.
        x: what is known of the first tensor.
        names: the function's parameters after the first, in order, as far as they are read.
        output: what the function gave.
    """

    def __init__(
        self,
        recorder: Recorder,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        output: Any,
        names: Sequence[str],
    ) -> None:
        self.recorder, self.args, self.output = recorder, args, output
        self._named = {**dict(zip(names, args[1:], strict=False)), **kwargs}
        found = recorder.of(args[0])
        self.x = cast("Followed", found)

    def get(self, name: str, default: Any = None) -> Any:
        """An argument."""
        return self._named.get(name, default)

    def whole(self) -> Followed:
        """The first tensor, a sum over time as such."""
        return self.recorder.whole(self.x)

    def node_shape(self) -> tuple[int, int, int]:
        """Channels, height, width of the first tensor's layer."""
        return self.recorder.nodes[self.x.node].shape


def apply(recorder: Recorder, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a function of torch, and note what it makes of followed tensors."""
    name = getattr(func, "__name__", "")
    recorder._paused = True
    try:
        output = func(*args, **kwargs)
    finally:
        recorder._paused = False
    given = [*_flat(args), *_flat(kwargs.values())]
    followed = [f for f in (recorder.of(value) for value in given) if f is not None]
    gives = name == "__iter__" or any(isinstance(t, Tensor) for t in _flat([output]))
    if not followed or not gives:
        return output
    try:
        broken = next((f for f in followed if f.problem), None)
        found = broken or _rule(recorder, name, args, kwargs, output)
    except (UnknownStepError, AxesError) as error:
        found = recorder.unknown(str(error))
    except (TypeError, ValueError, IndexError, AttributeError, StopIteration):
        found = recorder.unknown(f"calls {name} in a way that is not known")
    if isinstance(found, _Iterated):
        return iter(found.tensors)
    tensors = [t for t in _flat([output]) if isinstance(t, Tensor)]
    each = found if isinstance(found, list) else [found] * len(tensors)
    for tensor, what in zip(tensors, each, strict=True):
        recorder.follow(tensor, what)
    return output


class _Iterated:
    """A tensor gone through in a loop."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tensors


def _rule(
    recorder: Recorder, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any
) -> Any:
    known = _RULES.get(name)
    if known is None:
        raise UnknownStepError(f"calls torch's {name.strip('_') or 'function'}, which is not known")
    rule, names = known
    call = Call(recorder, args, kwargs, output, names)
    if call.x is None and rule not in _OF_SEVERAL:
        raise UnknownStepError(f"calls {name} with a parameter computed from the input")
    return rule(call)


def _flat(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if isinstance(value, tuple | list):
            found += _flat(value)
        else:
            found.append(value)
    return found


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    values = tuple(int(v) for v in value)
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _flat_pair(value: Any) -> tuple[int, int]:
    """Of a function along one axis: that axis is the width."""
    one = value if isinstance(value, int) else value[0]
    return 1, int(one)


# ---- layers


def _convolution(call: Call) -> Followed:
    flat = call.args[1].dim() == 3
    x = call.whole()
    shape = call.recorder.nodes[x.node].shape
    wanted = features(shape)
    if flat and shape[1] != 1:
        raise UnknownStepError("is a convolution along one axis of a map")
    tail = (wanted[0], wanted[2]) if flat else wanted
    if not ends_with(x.axes, tail):
        raise UnknownStepError("is a convolution over other axes than channels, height, width")
    pair = _flat_pair if flat else _pair
    padding = call.get("padding", 0)
    weight = cast("Tensor", call.args[1])
    kernel = (1, *weight.shape[2:]) if flat else tuple(weight.shape[2:])
    dilation = pair(call.get("dilation", 1))
    if isinstance(padding, str):
        padding = _named_padding(padding, kernel, dilation)
    elif flat:
        padding = (0, _flat_pair(padding)[1])
    else:
        padding = _pair(padding)
    stride = pair(call.get("stride", 1))
    if flat:
        stride, dilation = (1, stride[1]), (1, dilation[1])
    groups = int(call.get("groups", 1))
    after = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(shape[1:], kernel, stride, padding, dilation, strict=True)
    )
    made = (int(weight.shape[0]), int(after[0]), int(after[1]))
    node = _synapse(
        call,
        x.node,
        made,
        stride=list(stride),
        padding=list(padding),
        dilation=list(dilation),
        groups=groups,
    )
    given = features(made)
    return replace(x, node=node, axes=_replaced(x.axes, (given[0], given[2]) if flat else given))


def _named_padding(name: str, kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, int]:
    if name == "valid":
        return 0, 0
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(t % 2 for t in total):
        raise UnknownStepError('pads "same" by more on one side')
    return total[0] // 2, total[1] // 2


def _linear(call: Call) -> Followed:
    x = call.whole()
    shape = call.recorder.nodes[x.node].shape
    atoms = tuple(atom for one in features(shape) for atom in plain(one))
    if not ends_with(x.axes, (atoms,)):
        raise UnknownStepError("is a linear layer over other axes than all features of a sample")
    made = (int(call.args[1].shape[0]), 1, 1)
    node = _synapse(call, x.node, made, flatten=True)
    return replace(x, node=node, axes=(*x.axes[:-1], axis("C", made[0])))


def _synapse(call: Call, source: int, shape: tuple[int, int, int], **parameters: Any) -> int:
    recorder = call.recorder
    weight, bias = recorder.names.get(id(call.args[1]), ""), call.get("bias")
    if not weight.endswith("weight"):
        raise UnknownStepError("computes its weight, or has one that is not in its state")
    name = weight.removesuffix("weight").removesuffix(".")
    if bias is not None:
        if recorder.names.get(id(bias)) != f"{name}.bias".removeprefix("."):
            raise UnknownStepError("computes its bias")
        parameters["bias"] = True
    return recorder.add("synapse", source, shape=shape, name=name, **parameters)


def _batch_norm(call: Call) -> Followed:
    recorder, x = call.recorder, call.whole()
    shape = recorder.nodes[x.node].shape
    channel = x.axes[1] if len(x.axes) > 1 else ()
    mean = call.get("running_mean")
    if call.get("training") or mean is None:
        raise UnknownStepError("normalises by the batch, not by running statistics")
    if plain(channel) != plain(axis("C", shape[0])):
        raise UnknownStepError("normalises another axis than the channels")
    name = recorder.names.get(id(mean), "").removesuffix("running_mean").removesuffix(".")
    expected = {"running_mean": mean, "running_var": call.get("running_var")}
    expected |= {key: call.get(key) for key in ("weight", "bias")}
    for key, tensor in expected.items():
        if tensor is not None and recorder.names.get(id(tensor)) != f"{name}.{key}":
            raise UnknownStepError(f"computes its {key}")
    node = recorder.add("norm", x.node, shape=shape, name=name, eps=float(call.get("eps", 1e-5)))
    return replace(x, node=node)


def _pooled(kind: str, *, flat: bool) -> Rule:
    def rule(call: Call) -> Followed:
        pair = _flat_pair if flat else _pair
        kernel = pair(call.get("kernel_size"))
        stride = call.get("stride")
        stride = pair(stride) if isinstance(stride, int) or stride else kernel
        given = call.get("padding", 0)
        padding = (0, _flat_pair(given)[1]) if flat else _pair(given)
        if flat and kind == "avgpool" and (voted := _vote(call, kernel, stride, padding)):
            return voted
        dilation = call.get("dilation", 1)
        if set(_flat([dilation])) != {1}:
            raise UnknownStepError("pools with dilation")
        if call.get("divisor_override") is not None:
            raise UnknownStepError("divides an average by another number")
        counted = bool(call.get("count_include_pad", True)) or padding == (0, 0)
        if kind == "avgpool" and not counted:
            raise UnknownStepError("averages without the padding; known is count_include_pad=True")
        windows = _Windows(kernel, stride, padding, bool(call.get("ceil_mode", False)))
        return _pool(call, kind, windows, flat=flat)

    return rule


@dataclass(frozen=True)
class _Windows:
    """Of a pooling, by height and width."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    ceil: bool = False


def _pool(call: Call, kind: str, windows: _Windows, *, flat: bool) -> Followed:
    recorder, x = call.recorder, call.x
    kernel, stride, padding = windows.kernel, windows.stride, windows.padding
    if kind == "maxpool":
        x = call.whole()
    shape = recorder.nodes[x.node].shape
    wanted = features(shape)
    if flat and shape[1] != 1:
        raise UnknownStepError("pools along one axis of a map")
    if not ends_with(x.axes, (wanted[0], wanted[2]) if flat else wanted):
        raise UnknownStepError("pools over other axes than height and width")
    sides = list(zip(shape[1:], kernel, stride, padding, strict=True))
    if windows.ceil and any((n + 2 * p - k) % s for n, k, s, p in sides):
        raise UnknownStepError("pools windows that are cut off (ceil_mode)")
    after = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in sides)
    made = (shape[0], int(after[0]), int(after[1]))
    given = features(made)
    axes = _replaced(x.axes, (given[0], given[2]) if flat else given)
    if kernel == (1, 1) and stride == (1, 1):
        return x
    if kind == "avgpool" and after == (1, 1) and kernel == shape[1:] and padding == (0, 0):
        return replace(x, node=recorder.mean(x.node, time=False, positions=True), axes=axes)
    node = recorder.add(
        kind,
        x.node,
        shape=made,
        spikes=kind == "maxpool" and recorder.nodes[x.node].spikes,
        kernel=list(kernel),
        stride=list(stride),
        padding=list(padding),
    )
    return replace(x, node=node, axes=axes)


def _vote(
    call: Call, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> Followed | None:
    """An average over neighbouring features of a linear layer, as of a voting layer."""
    x = call.x
    channels, height, width = call.node_shape()
    last, size = x.axes[-1], kernel[1]
    if (height, width) != (1, 1) or plain(last) != plain(axis("C", channels)) or channels == 1:
        return None
    if padding[1] or stride != kernel or channels % size:
        raise UnknownStepError("averages features in windows that overlap or do not divide them")
    made = (channels // size, 1, 1)
    node = call.recorder.add("vote", x.node, shape=made, size=size)
    return replace(x, node=node, axes=(*x.axes[:-1], axis("C", made[0])))


def _adaptive(*, flat: bool) -> Rule:
    def rule(call: Call) -> Followed:
        shape = call.node_shape()
        wanted = call.get("output_size")
        asked = (
            (1, wanted) if flat else wanted if isinstance(wanted, tuple | list) else (wanted,) * 2
        )
        asked = [n if w is None else w for w, n in zip(_flat(asked), shape[1:], strict=True)]
        if any(w < 1 or n % w for w, n in zip(asked, shape[1:], strict=True)):
            raise UnknownStepError("averages windows of different sizes")
        kernel = (shape[1] // asked[0], shape[2] // asked[1])
        return _pool(call, "avgpool", _Windows(kernel, kernel), flat=flat)

    return rule


def _relu(call: Call) -> Followed:
    x, recorder = call.whole(), call.recorder
    shape = recorder.nodes[x.node].shape
    return replace(x, node=recorder.add("neuron", x.node, shape=shape, kind="relu"))


def _dropout(call: Call) -> Followed:
    if call.get("training", True) and call.get("p", 0.5):
        raise UnknownStepError("drops at random in evaluation mode, too")
    return call.x


def block(
    recorder: Recorder, layer: Any, path: str, x: Followed, *, steps: int, reading: Reading
) -> Followed:
    """A block of ``models/blocks.py``: synapse, BatchNorm, neuron, pooling."""
    if x.step is not None:
        raise UnknownStepError("is given one step where it takes all")
    synapse, shape = layer.synapse, recorder.nodes[x.node].shape
    if isinstance(synapse, nn.Conv2d):
        sides = zip(shape[1:], synapse.kernel_size, synapse.stride, synapse.padding, strict=True)
        after = tuple((n + 2 * int(cast("int", p)) - k) // s + 1 for n, k, s, p in sides)
        made = (synapse.out_channels, after[0], after[1])
        parameters: dict[str, Any] = {
            "stride": list(synapse.stride),
            "padding": list(synapse.padding),
            "dilation": list(synapse.dilation),
            "groups": synapse.groups,
        }
        fits = ends_with(x.axes, features(shape))
    else:
        made, parameters = (synapse.out_features, 1, 1), {"flatten": True}
        fits = ends_with(x.axes, (tuple(a for one in features(shape) for a in plain(one)),))
    if not fits or len(x.axes) < 3:
        raise UnknownStepError("is a block that is not given [T, B, ...]")
    bias = {"bias": True} if synapse.bias is not None else {}
    node = recorder.add("synapse", x.node, shape=made, name=f"{path}.synapse", **parameters, **bias)
    if layer.pool_first:
        node, made = _halved(recorder, "maxpool", node)
    node = recorder.add("norm", node, shape=made, name=f"{path}.norm", eps=layer.norm.eps)
    (op, settings), *_ = reading.ops
    varies = reading.state or recorder.nodes[node].varies
    spikes = settings["kind"] in ("lif", "step")
    node = recorder.add(
        op, node, shape=made, name=f"{path}.neuron", varies=varies, spikes=spikes, **settings
    )
    if layer.pool and not layer.pool_first:
        node, made = _halved(recorder, "avgpool" if layer.average else "maxpool", node)
    axes = x.axes
    if reading.state:
        recorder.set_steps(steps)
        axes = (axis("T", steps), *axes[1:])
    tail = features(made) if isinstance(synapse, nn.Conv2d) else (axis("C", made[0]),)
    return replace(x, node=node, axes=(*axes[:2], *tail))


def _halved(recorder: Recorder, kind: str, node: int) -> tuple[int, tuple[int, int, int]]:
    given = recorder.nodes[node]
    made = (given.shape[0], given.shape[1] // 2, given.shape[2] // 2)
    window: dict[str, Any] = {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]}
    spikes = given.spikes and kind == "maxpool"
    return recorder.add(kind, node, shape=made, spikes=spikes, **window), made


# ---- forms


def _replaced(axes: Axes, tail: Axes) -> Axes:
    return (*axes[: len(axes) - len(tail)], *tail)


def _same(call: Call) -> Any:
    return call.x


def _cast(call: Call) -> Followed:
    if not call.output.is_floating_point():
        raise UnknownStepError(f"makes {call.output.dtype} of its numbers")
    return call.x


def _reshape(call: Call) -> Followed:
    return replace(call.x, axes=reshaped(call.x.axes, tuple(call.output.shape)))


def _permute(call: Call) -> Followed:
    dims = _flat(call.args[1:]) or _flat([call.get("dims")])
    return replace(call.x, axes=tuple(call.x.axes[d] for d in dims))


def _transpose(call: Call) -> Followed:
    axes = list(call.x.axes)
    first, second = call.get("dim0"), call.get("dim1")
    axes[first], axes[second] = axes[second], axes[first]
    return replace(call.x, axes=tuple(axes))


def _movedim(call: Call) -> Followed:
    axes = list(call.x.axes)
    source, target = call.get("source"), call.get("destination")
    if not isinstance(source, int) or not isinstance(target, int):
        raise UnknownStepError("moves several axes at once")
    moved = axes.pop(source)
    axes.insert(target % call.output.dim(), moved)
    return replace(call.x, axes=tuple(axes))


def _squeeze(call: Call) -> Followed:
    axes, dim = list(call.x.axes), call.get("dim")
    sizes = [math.prod(size for _, size in one) for one in axes]
    gone = range(len(axes)) if dim is None else [d % len(axes) for d in _flat([dim])]
    kept = [one for i, one in enumerate(axes) if i not in gone or sizes[i] != 1]
    return replace(call.x, axes=tuple(kept))


def _unsqueeze(call: Call) -> Followed:
    axes, dim = list(call.x.axes), call.get("dim")
    axes.insert(dim % (len(axes) + 1), ())
    return replace(call.x, axes=tuple(axes))


def _expand(call: Call) -> Followed:
    """A new axis that is repeated is time: what is repeated is the same at every step."""
    shape, axes = tuple(call.output.shape), list(call.x.axes)
    axes = [()] * (len(shape) - len(axes)) + axes
    for i, size in enumerate(shape):
        if math.prod(s for _, s in axes[i]) == size:
            continue
        fresh = not axes[i] and call.x.step is None and find(call.x.axes, "T") is None
        if not fresh or call.recorder.nodes[call.x.node].varies:
            raise UnknownStepError("repeats something else than a still image over time")
        call.recorder.set_steps(size)
        axes[i] = axis("T", size)
    return replace(call.x, axes=tuple(axes))


def _getitem(call: Call) -> Any:
    key = call.args[1]
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(k, Tensor | list) for k in keys):
        raise UnknownStepError("picks values by a list or a tensor")
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(call.x.axes) - used)
    axes: list[Axis] = []
    step, given = call.x.step, iter(call.x.axes)
    for k in keys:
        if k is None:
            axes.append(())
            continue
        one = next(given)
        if isinstance(k, int):
            step = _picked(call, one, k, step)
        elif isinstance(k, slice) and k == slice(None):
            axes.append(one)
        else:
            raise UnknownStepError("takes a part of an axis")
    return replace(call.x, axes=(*axes, *given), step=step)


def _select(call: Call) -> Followed:
    axes, index = list(call.x.axes), call.get("index")
    one = axes.pop(call.get("dim"))
    return replace(call.x, axes=tuple(axes), step=_picked(call, one, index, call.x.step))


def _picked(call: Call, one: Axis, index: int, step: int | None) -> int | None:
    roles = [role for role, _ in one]
    if not roles:
        return step
    if roles != ["T"]:
        if all(size == 1 for _, size in one):
            return step
        raise UnknownStepError("picks one of several channels, positions or samples")
    if not call.recorder.nodes[call.x.node].varies:
        return None
    return index % one[0][1]


def _unbind(call: Call) -> list[Followed]:
    axes = list(call.x.axes)
    one = axes.pop(call.get("dim", 0))
    count = len(call.output)
    return [
        replace(call.x, axes=tuple(axes), step=_picked(call, one, i, call.x.step))
        for i in range(count)
    ]


def _iter(call: Call) -> _Iterated:
    tensors = list(call.output)
    for tensor, what in zip(tensors, _unbind_of(call, len(tensors)), strict=True):
        call.recorder.follow(tensor, what)
    return _Iterated(tensors)


def _unbind_of(call: Call, count: int) -> list[Followed]:
    one, *axes = call.x.axes
    return [
        replace(call.x, axes=tuple(axes), step=_picked(call, one, i, call.x.step))
        for i in range(count)
    ]


def _given(call: Call) -> list[Followed]:
    """The tensors of a list, all of them followed."""
    found = [call.recorder.of(value) for value in call.args[0]]
    if any(f is None for f in found):
        raise UnknownStepError("joins what follows from the input with what does not")
    return [call.recorder.whole(f) for f in found if f is not None]


def _stack(call: Call) -> Followed:
    given = _given(call)
    dim = _dim(call, call.output.dim())
    axes = list(given[0].axes)
    axes.insert(dim, _steps_of(call, given))
    return replace(given[0], axes=tuple(axes), step=None)


def _dim(call: Call, axes: int) -> int:
    dim = call.get("dim", 0)
    return int(dim) % axes


def _steps_of(call: Call, given: Sequence[Followed]) -> tuple[tuple[str, int], ...]:
    """The axis of time that tensors make which are those of all steps."""
    first = given[0]
    alike = all(f.node == first.node and f.axes == first.axes for f in given)
    steps = [f.step for f in given]
    still = set(steps) == {None} and not call.recorder.nodes[first.node].varies
    if not alike or not (still or steps == list(range(len(given)))):
        raise UnknownStepError("joins other things than all time steps in their order")
    call.recorder.set_steps(len(given))
    return axis("T", len(given))


def _cat(call: Call) -> Followed:
    given = _given(call)
    recorder, dim = call.recorder, _dim(call, call.output.dim())
    if all(not f.axes[dim] for f in given):
        axes = list(given[0].axes)
        axes[dim] = _steps_of(call, given)
        return replace(given[0], axes=tuple(axes), step=None)
    shapes = [recorder.nodes[f.node].shape for f in given]
    for f, shape in zip(given, shapes, strict=True):
        if plain(f.axes[dim]) != plain(axis("C", shape[0])):
            raise UnknownStepError("joins other axes than channels")
    node, channels, first = given[0].node, shapes[0][0], given[0]
    for f, shape in zip(given[1:], shapes[1:], strict=True):
        channels += shape[0]
        spikes = recorder.nodes[node].spikes and recorder.nodes[f.node].spikes
        made = (channels, *shape[1:])
        node = recorder.add("concat", node, f.node, shape=made, spikes=spikes)
        first = _together(first, f)
    axes = list(first.axes)
    axes[dim] = axis("C", channels)
    return replace(first, node=node, axes=tuple(axes))


# ---- sums


def _together(x: Followed, y: Followed) -> Followed:
    """What two tensors of one step, or of all, have in common."""
    if x.step is not None and y.step is not None and x.step != y.step:
        raise UnknownStepError(
            "joins a time step with another: recurrent connections are not known"
        )
    for one, other in ((x, y), (y, x)):
        if one.step is not None and other.step is None and find(other.axes, "T") is not None:
            raise UnknownStepError("joins one time step with all of them")
    step = x.step if x.step is not None else y.step
    longer = x if len(x.axes) >= len(y.axes) and find(y.axes, "T") is None else y
    return replace(longer, step=step)


def _add(call: Call) -> Followed:
    one, other = call.args[0], call.args[1]
    x, y = call.recorder.of(one), call.recorder.of(other)
    if call.get("alpha", 1) != 1:
        raise UnknownStepError("adds a multiple")
    if x is None or y is None:
        constant = other if x is not None else one
        if _is_zero(constant):
            return cast("Followed", x or y)
        raise UnknownStepError("adds a constant")
    if (later := _over_steps(x, y)) is not None:
        return later
    x, y = call.recorder.whole(x), call.recorder.whole(y)
    shapes = [call.recorder.nodes[f.node].shape for f in (x, y)]
    if shapes[0] != shapes[1]:
        raise UnknownStepError(f"adds layers of different shapes {shapes[0]} and {shapes[1]}")
    node = call.recorder.add("add", x.node, y.node, shape=shapes[0])
    return replace(_together(x, y), node=node)


def _over_steps(x: Followed, y: Followed) -> Followed | None:
    """The sum of two steps of one layer, which is a part of its sum over time."""
    if x.node != y.node or x.axes != y.axes or x.factor != 1.0 or y.factor != 1.0:
        return None
    parts = [f.summed or frozenset([f.step] if f.step is not None else []) for f in (x, y)]
    if not all(parts) or parts[0] & parts[1]:
        return None
    return replace(x, step=None, summed=frozenset(cast("Any", parts[0] | parts[1])))


def _is_zero(value: Any) -> bool:
    return not bool(value.any()) if isinstance(value, Tensor) else value == 0


def _times(call: Call) -> Followed:
    x, y = (call.recorder.of(value) for value in call.args[:2])
    if x is not None and y is not None:
        return _masked(call, x, y)
    number = call.args[1] if x is not None else call.args[0]
    if isinstance(number, Tensor) and number.numel() != 1:
        raise UnknownStepError("multiplies by a tensor")
    return _scaled(call.recorder, cast("Followed", x or y), float(number))


def _masked(call: Call, x: Followed, y: Followed) -> Followed:
    x, y = call.recorder.whole(x), call.recorder.whole(y)
    nodes = call.recorder.nodes
    if not nodes[y.node].spikes:
        x, y = y, x
    if not nodes[y.node].spikes or nodes[x.node].shape != nodes[y.node].shape:
        raise UnknownStepError("multiplies two layers of which none gives spikes")
    if nodes[x.node].varies != nodes[y.node].varies:
        raise UnknownStepError("multiplies a still layer with one that varies over time")
    node = call.recorder.add(
        "mask", x.node, y.node, shape=nodes[x.node].shape, spikes=nodes[x.node].spikes
    )
    return replace(_together(x, y), node=node)


def _divided(call: Call) -> Followed:
    number = call.args[1]
    if call.recorder.of(number) or not call.recorder.of(call.args[0]) or call.get("rounding_mode"):
        raise UnknownStepError("divides by a layer")
    if isinstance(number, Tensor) and number.numel() != 1:
        raise UnknownStepError("divides by a tensor")
    return _scaled(call.recorder, call.x, 1.0 / float(number))


def _scaled(recorder: Recorder, x: Followed, factor: float) -> Followed:
    """A factor is kept aside where it may meet that of a sum over time."""
    if x.summed:
        return replace(x, factor=x.factor * factor)
    return replace(x, node=recorder.scaled(x.node, factor))


def _reduced(*, mean: bool) -> Rule:
    def rule(call: Call) -> Followed:
        if isinstance(call.args[0], tuple | list):
            raise UnknownStepError("sums a list")
        x, dims = call.whole(), call.get("dim", call.get("axis"))
        if dims is None:
            raise UnknownStepError("sums over everything")
        gone = [d % len(x.axes) for d in _flat([dims])]
        roles = [atom[0] for d in gone for atom in x.axes[d]]
        keep = bool(call.get("keepdim", call.get("keepdims", False)))
        axes = [() if i in gone else one for i, one in enumerate(x.axes) if i not in gone or keep]
        count = math.prod(size for d in gone for _, size in x.axes[d])
        space = sorted(r for r in roles if r in "HW")
        if set(roles) - set("THW") or len(space) not in (0, 2):
            if math.prod(size for d in gone for _, size in x.axes[d]) == 1:
                return replace(x, axes=tuple(axes))
            raise UnknownStepError("sums over other axes than time or all positions")
        node = call.recorder.mean(x.node, time="T" in roles, positions=bool(space))
        found = replace(x, node=node, axes=tuple(axes))
        return found if mean else _scaled(call.recorder, found, float(count))

    return rule


_OF_SEVERAL = {_stack, _cat, _add, _times, _divided}
_POOL = ("kernel_size", "stride", "padding")
_RULES: dict[str, tuple[Rule, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("conv2d", "conv1d"),
        (_convolution, ("weight", "bias", "stride", "padding", "dilation", "groups")),
    ),
    "linear": (_linear, ("weight", "bias")),
    "batch_norm": (
        _batch_norm,
        ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    ),
    "max_pool2d": (_pooled("maxpool", flat=False), (*_POOL, "dilation", "ceil_mode")),
    "max_pool1d": (_pooled("maxpool", flat=True), (*_POOL, "dilation", "ceil_mode")),
    "avg_pool2d": (
        _pooled("avgpool", flat=False),
        (*_POOL, "ceil_mode", "count_include_pad", "divisor_override"),
    ),
    "avg_pool1d": (_pooled("avgpool", flat=True), (*_POOL, "ceil_mode", "count_include_pad")),
    "adaptive_avg_pool2d": (_adaptive(flat=False), ("output_size",)),
    "adaptive_avg_pool1d": (_adaptive(flat=True), ("output_size",)),
    **dict.fromkeys(("relu", "relu_"), (_relu, ())),
    **dict.fromkeys(
        ("dropout", "dropout1d", "dropout2d", "dropout3d"), (_dropout, ("p", "training"))
    ),
    **dict.fromkeys(
        ("contiguous", "clone", "detach", "detach_", "requires_grad_", "cpu", "alias"), (_same, ())
    ),
    **dict.fromkeys(("to", "float", "type", "type_as"), (_cast, ())),
    **dict.fromkeys(
        ("flatten", "view", "reshape", "unflatten", "view_as", "reshape_as"), (_reshape, ())
    ),
    "permute": (_permute, ("dims",)),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), (_transpose, ("dim0", "dim1"))),
    **dict.fromkeys(("movedim", "moveaxis"), (_movedim, ("source", "destination"))),
    "squeeze": (_squeeze, ("dim",)),
    "unsqueeze": (_unsqueeze, ("dim",)),
    **dict.fromkeys(("expand", "repeat", "expand_as", "tile"), (_expand, ())),
    "__getitem__": (_getitem, ()),
    "select": (_select, ("dim", "index")),
    "unbind": (_unbind, ("dim",)),
    "__iter__": (_iter, ()),
    "stack": (_stack, ("dim",)),
    **dict.fromkeys(("cat", "concat", "concatenate"), (_cat, ("dim",))),
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__", "add_"), (_add, ("other", "alpha"))),
    **dict.fromkeys(
        ("mul", "__mul__", "__rmul__", "__imul__", "mul_", "multiply"), (_times, ("other",))
    ),
    **dict.fromkeys(
        ("div", "__truediv__", "__itruediv__", "div_", "true_divide"), (_divided, ("other",))
    ),
    "mean": (_reduced(mean=True), ("dim", "keepdim")),
    "sum": (_reduced(mean=False), ("dim", "keepdim")),
}
