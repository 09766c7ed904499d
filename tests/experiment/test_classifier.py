"""A ticket as a classifier of arrays: like those of scikit-learn, and in its tools."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import spiketicket
from spiketicket import TicketClassifier
from spiketicket.data import load_dataset, make_config
from spiketicket.errors import UserError

pytestmark = pytest.mark.slow


def blobs(count=150, classes=3, features=10):
    rng = np.random.default_rng(0)
    y = np.arange(count) % classes
    x = rng.normal(size=(count, features)) + 4 * rng.normal(size=(classes, features))[y]
    return 100 + 10 * x, np.array(["owl", "cat", "dog"])[y]


@pytest.fixture(scope="module")
def fitted():
    x, y = blobs()
    return TicketClassifier(epochs=15, batch_size=16, density=0.5).fit(x[:100], y[:100])


def test_learns_and_gives_labels_and_shares(fitted):
    x, y = blobs()
    assert fitted.classes_.tolist() == ["cat", "dog", "owl"]
    assert fitted.score(x[100:], y[100:]) > 0.9
    shares = fitted.predict_proba(x)
    assert shares.shape == (150, 3)
    assert np.allclose(shares.sum(1), 1)
    assert (fitted.predict(x) == fitted.classes_[shares.argmax(1)]).all()
    weights = np.arange(150)
    right = fitted.predict(x) == y
    assert fitted.score(x, y, weights) == pytest.approx((right * weights).sum() / weights.sum())
    assert fitted.n_features_in_ == 10
    layers = fitted.ticket_.layers
    assert sum(layer.kept for layer in layers) / sum(layer.size for layer in layers) < 0.52
    assert len(fitted.ticket_.history) == 15


def test_the_same_seed_gives_the_same_ticket_and_the_batch_does_not_matter(fitted):
    x, y = blobs()
    again = TicketClassifier(**fitted.get_params()).fit(x[:100].tolist(), y[:100].tolist())
    assert again.ticket_ == fitted.ticket_
    alone = np.concatenate([fitted.decision_function(x[i : i + 1]) for i in range(5)])
    assert np.allclose(alone, fitted.decision_function(x[:5]), atol=1e-5)
    copy = pickle.loads(pickle.dumps(fitted))
    assert (copy.predict(x) == fitted.predict(x)).all()


def test_features_of_any_scale_are_standardized_by_the_training_samples(fitted):
    x, y = blobs()
    scaled = TicketClassifier(**fitted.get_params()).fit(x[:100] * 1000 - 7, y[:100])
    assert (scaled.predict(x * 1000 - 7) == fitted.predict(x)).mean() > 0.95
    inputs = fitted._ready(np.asarray(x[:100], np.float32))
    assert torch.allclose(inputs.mean(0), torch.zeros(10), atol=1e-4)
    assert torch.allclose(inputs.std(0, correction=0), torch.ones(10), atol=1e-4)


def test_pictures_with_and_without_channels():
    digits = load_dataset(make_config("digits"))
    x, y = digits.train.x[:200], digits.train.y[:200]
    made = TicketClassifier(epochs=2, density=0.6, validation=0).fit(x[:, 0], y)
    assert made.decision_function(x[:3, 0]).shape == (3, 10)
    assert made.ticket_.layers[0].name == "features.0.synapse"
    same = TicketClassifier(epochs=2, density=0.6, validation=0).fit(x, y)
    assert same.ticket_ == made.ticket_


def make():
    return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3))


def test_a_network_of_ones_own():
    x, y = blobs()
    given = make()
    before = {k: v.clone() for k, v in given.state_dict().items()}
    for network in (given, make):
        made = TicketClassifier(network, epochs=3).fit(x, y)
        assert [layer.shape for layer in made.ticket_.layers] == [(20, 10), (3, 20)]
    assert all(torch.equal(v, before[k]) for k, v in given.state_dict().items())


def test_parameters():
    made = TicketClassifier(density=0.25)
    assert repr(made) == "TicketClassifier(density=0.25)"
    assert made.get_params()["density"] == 0.25
    assert made.set_params(epochs=3) is made
    assert made.epochs == 3
    with pytest.raises(UserError, match=r"Did you mean density\?"):
        made.set_params(densty=0.5)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((4, 2)), [0, 1, 0], "y: must have one label for each of the 4 samples"),
        (np.zeros((4, 2)), [1, 1, 1, 1], "two classes or more"),
        (np.zeros(4), [0, 1, 0, 1], "X: must be [N, ...]"),
        ([["a"], ["b"]], [0, 1], "X: must be numbers"),
        ([[np.nan], [1]], [0, 1], "X: must be finite"),
    ],
)
def test_what_does_not_fit_is_named(x, y, said):
    with pytest.raises(UserError) as error:
        TicketClassifier().fit(x, y)
    assert said in str(error.value)


def test_prediction_needs_a_fit_and_the_same_shape(fitted):
    with pytest.raises(UserError, match="is not fitted yet"):
        TicketClassifier().predict([[1.0]])
    with pytest.raises(UserError, match=r"must have the shape \[N, 10\]"):
        fitted.predict(np.zeros((2, 9)))


def test_works_in_scikit_learn():
    model_selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.base import clone, is_classifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = blobs()
    made = TicketClassifier(epochs=8, batch_size=16)
    assert is_classifier(made)
    assert clone(made).get_params() == made.get_params()
    scores = model_selection.cross_val_score(made, x, y, cv=2)
    assert scores.min() > 0.6
    search = model_selection.GridSearchCV(made, {"density": [0.5, 0.75]}, cv=2).fit(x, y)
    assert search.best_params_["density"] in (0.5, 0.75)
    piped = make_pipeline(StandardScaler(), made).fit(x, y)
    assert piped.predict(x).shape == (150,)


def test_the_state_dict_of_a_ticket_is_that_of_its_network(fitted, tmp_path):
    fitted.ticket_.save(tmp_path / "a.ticket")
    state = spiketicket.state_dict(tmp_path / "a.ticket")
    own = fitted.network_.state_dict()
    assert state.keys() == own.keys()
    assert all(torch.equal(state[key], own[key]) for key in own)
    net = spiketicket.from_ticket("digits-binw")
    net.load_state_dict(spiketicket.state_dict("digits-binw"))
