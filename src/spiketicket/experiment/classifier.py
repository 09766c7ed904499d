"""A ticket as a classifier of arrays, with the methods that scikit-learn's have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from spiketicket.errors import UserError, did_you_mean
from spiketicket.experiment.search import Searched, search
from spiketicket.models.blocks import Block, DataShape, make_neuron, time_first
from spiketicket.models.custom import mean_over_time, reset_state
from spiketicket.models.of_ticket import load_into
from spiketicket.models.probe import copied
from spiketicket.neurons import lif
from spiketicket.recipe import registry
from spiketicket.streams import Stream

_PICTURE = 8
"""Height and width of the smallest pictures that the convolutional network takes."""
_MOST = 1024


class TicketClassifier:
    """Searches a ticket in a spiking network and classifies with it.

    It has no need of scikit-learn, and works in its ``clone``, ``cross_val_score``,
    ``GridSearchCV`` and ``Pipeline``: parameters are kept as they are given, and what ``fit`` finds
    ends with an underscore.

    Args:
        network: an ``nn.Module``, or a function that makes one; called with float32 ``[B, ...]``
            as ``X`` has it. None is three convolutions of leaky neurons for pictures of 8x8 pixels
            or more, and two hidden layers of them for anything else.
        method, density, weights, epochs, lr, options, seed: of :func:`spiketicket.search`.
        timesteps: of the networks of this class.
        batch_size: samples of an optimizer step.
        validation: fraction of the samples, drawn by ``seed``, that choose the best epoch; 0 takes
            the last one.
        standardize: whether every feature, of pictures every channel, is brought to mean 0 and
            standard deviation 1 by the training samples.
        progress: whether the search shows itself.

    Attributes:
        ticket_: the :class:`spiketicket.Ticket`, with its ``history`` and ``plot()``.
        network_: the plain PyTorch network, in evaluation mode.
        classes_: labels [classes], sorted, as ``y`` had them.
        n_features_in_: size of the second axis of ``X``.
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        network: nn.Module | Callable[[], nn.Module] | None = None,
        *,
        method: str = "edge_popup",
        density: float = 0.5,
        weights: Literal["binary", "float"] = "binary",
        epochs: int = 20,
        lr: float | None = None,
        options: dict[str, Any] | None = None,
        timesteps: int = 4,
        batch_size: int = 64,
        validation: float = 0.1,
        standardize: bool = True,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.network = network
        self.method = method
        self.density = density
        self.weights = weights
        self.epochs = epochs
        self.lr = lr
        self.options = options
        self.timesteps = timesteps
        self.batch_size = batch_size
        self.validation = validation
        self.standardize = standardize
        self.seed = seed
        self.progress = progress

    def __repr__(self) -> str:
        usual = inspect.signature(type(self)).parameters
        known = self.get_params().items()
        given = {k: v for k, v in known if k == "network" or repr(v) != repr(usual[k].default)}
        if self.network is None:
            del given["network"]
        told = (f"{k}={type(v).__name__ if k == 'network' else repr(v)}" for k, v in given.items())
        return f"TicketClassifier({', '.join(told)})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; ``deep`` changes nothing."""
        del deep
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **given: Any) -> TicketClassifier:
        """Replace parameters.

        Raises:
            UserError: no such parameter.
        """
        known = self.get_params()
        for name, value in given.items():
            if name not in known:
                remedy = did_you_mean(name, known, "Parameters")
                raise UserError("is no parameter", where=name, remedy=remedy)
            setattr(self, name, value)
        return self

    def fit(self, X: ArrayLike, y: ArrayLike) -> TicketClassifier:
        """Search a ticket.

        Args:
            X: numbers [N, ...]: features [N, F], or pictures [N, H, W] or [N, C, H, W].
            y: labels [N] of any type that can be sorted, of two classes or more.

        Raises:
            UserError: arrays that do not fit, or as :func:`spiketicket.search`.
        """
        x, labels = _samples(X), np.asarray(y)
        if labels.shape != x.shape[:1]:
            what = f"must have one label for each of the {len(x)} samples"
            raise UserError(what, where="y", value=list(labels.shape))
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise UserError("must have two classes or more", where="y", value=len(classes))
        if not 0 <= self.validation < 1:
            where = "validation"
            raise UserError("must be from 0 to below 1", where=where, value=self.validation)
        self.classes_, self.n_features_in_ = classes, x.shape[1]
        self._shape, self._standard = x.shape[1:], _standard(x, self.standardize)
        inputs, targets = self._ready(x), torch.from_numpy(numbers.astype(np.int64))
        order = np.argsort(Stream(self.seed, "validation samples").uniform(len(x)), kind="stable")
        held = round(self.validation * len(x))
        judged, trained = torch.from_numpy(order[:held]), torch.from_numpy(order[held:])
        network = self._network(x.shape[1:], len(classes))
        last = len(trained) % self.batch_size
        loader = DataLoader(
            TensorDataset(inputs[trained], targets[trained]),
            self.batch_size,
            shuffle=True,
            drop_last=last == 1 and len(trained) > 1,  # BatchNorm needs two samples
        )
        held_out = DataLoader(TensorDataset(inputs[judged], targets[judged]), _MOST)
        self.ticket_: Searched = search(
            network,
            loader,
            validation=held_out if held else None,
            density=self.density,
            weights=self.weights,
            epochs=self.epochs,
            lr=self.lr,
            seed=self.seed,
            method=self.method,
            options=self.options,
            progress=self.progress,
        )
        self.network_ = load_into(copied(network), self.ticket_).eval()
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float32]:
        """Logits [N, classes]; ``X`` as in :meth:`fit`.

        Raises:
            UserError: nothing was fitted yet, or samples of another shape.
        """
        if not hasattr(self, "network_"):
            raise UserError("is not fitted yet", where="TicketClassifier", remedy="Call fit(X, y)")
        x = _samples(X)
        if x.shape[1:] != self._shape:
            what = f"must have the shape [N, {', '.join(map(str, self._shape))}]"
            raise UserError(what, where="X", value=list(x.shape))
        found = [np.empty((0, len(self.classes_)), np.float32)]
        with torch.no_grad():
            for part in self._ready(x).split(_MOST):
                reset_state(self.network_)
                found.append(mean_over_time(self.network_(part)).float().numpy())
        return np.concatenate(found)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Shares of the classes by softmax [N, classes], in the order of ``classes_``."""
        logits = self.decision_function(X).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels [N]."""
        best = self.decision_function(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The fraction of the samples that are classified correctly."""
        right = self.predict(X) == np.asarray(y)
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        return float(np.average(right, weights=weights))

    def _network(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        if isinstance(self.network, nn.Module):
            return self.network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if self.network is not None:
                return self.network()
            if len(shape) in (2, 3) and min(shape[-2:]) >= _PICTURE:
                return _convolutions(shape, classes, self.timesteps)
            return _Dense(int(np.prod(shape)), classes, self.timesteps)

    def _ready(self, x: NDArray[np.float32]) -> Tensor:
        mean, scale = self._standard
        ready = torch.from_numpy(np.ascontiguousarray((x - mean) / scale))
        return ready[:, None] if self.network is None and ready.dim() == 3 else ready

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=True, three_d_array=True),
        )


class _Dense(nn.Module):
    """Two hidden layers of leaky neurons: logits [B, classes] of [B, ...]."""

    def __init__(self, inputs: int, classes: int, timesteps: int, hidden: int = 128) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.hidden = nn.ModuleList()
        for size in (inputs, hidden):
            neuron = make_neuron(lif.Config(), "auto")
            layer = nn.Linear(size, hidden, bias=False)
            self.hidden.append(Block(layer, neuron, bn_affine=False, pool=False))
        self.classifier = nn.Linear(hidden, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, the mean over time."""
        h = time_first(x.flatten(1)[:, :, None, None], self.timesteps).flatten(2)
        for block in self.hidden:
            h = block(h, self.timesteps)
        logits: Tensor = self.classifier(h.float().mean(0))
        return logits


def _convolutions(shape: tuple[int, ...], classes: int, timesteps: int) -> nn.Module:
    """The network ``convnet`` of this package, of half the width."""
    convnet = registry.load("models", "convnet")
    channels, height, width = (1, *shape)[-3:]
    size = DataShape(channels=channels, height=height, width=width, classes=classes)
    config = convnet.Config(timesteps=timesteps, width=0.5)
    built: nn.Module = convnet.build(config, lif.Config(), size)
    return built


def _samples(x: ArrayLike) -> NDArray[np.float32]:
    try:
        found = np.asarray(x, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError("must be numbers", where="X") from error
    if found.ndim < 2 or not found.size:
        raise UserError("must be [N, ...] with a sample", where="X", value=list(found.shape))
    if not np.isfinite(found).all():
        raise UserError("must be finite numbers", where="X")
    return found


def _standard(x: NDArray[np.float32], wanted: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """What is taken off, and what the rest is divided by: [F], or [C, 1, 1] of pictures."""
    if not wanted:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    if x.ndim == 2:
        axes: tuple[int, ...] = (0,)
    else:
        axes = (0, *range(x.ndim - 2, x.ndim)) if x.ndim > 3 else (0, 1, 2)
    mean = x.mean(axes, keepdims=True, dtype=np.float64)[0]
    scale = x.std(axes, keepdims=True, dtype=np.float64)[0]
    return mean.astype(np.float32), np.where(scale > 0, scale, 1).astype(np.float32)
