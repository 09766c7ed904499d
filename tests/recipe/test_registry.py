"""Choices are found by file name, without importing them."""

import subprocess
import sys

import pytest

from spiketicket.errors import NO_TORCH, UserError
from spiketicket.recipe import registry, sections

BASES = {
    "data": sections.DataConfig,
    "neurons": sections.NeuronConfig,
    "models": sections.ModelConfig,
    "methods": sections.MethodConfig,
}
CHOICES = [(family, name) for family in registry.FAMILIES for name in registry.names(family)]


def test_names_are_the_public_files_sorted() -> None:
    assert "digits" in registry.names("data")
    for family in registry.FAMILIES:
        known = registry.names(family)
        assert known == tuple(sorted(known))
        assert known
        assert not [name for name in known if name.startswith("_")]


def test_names_import_no_choice() -> None:
    code = (
        "import sys; from spiketicket.recipe import registry\n"
        "for family in registry.FAMILIES: assert registry.names(family)\n"
        "loaded = sorted(m for m in sys.modules if m.startswith('spiketicket.'))\n"
        "assert not [m for m in loaded if m.split('.')[1] in registry.FAMILIES], loaded\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(("family", "name"), CHOICES)
def test_every_choice_has_a_config_of_its_own_name(family: str, name: str) -> None:
    config = registry.load(family, name).Config
    assert issubclass(config, BASES[family])
    assert config is not BASES[family]
    field = config.model_fields["name"]
    assert field.annotation.__args__ == (name,), "name must be Literal of the file's name"
    assert field.default == name, "so that Config() alone is a valid section"
    assert config.model_config["extra"] == "forbid"
    assert config.model_config["frozen"]


@pytest.mark.parametrize(("family", "name"), CHOICES)
def test_none_is_a_default_wherever_it_is_allowed(family: str, name: str) -> None:
    # TOML cannot say None, so None must be what a missing key means.
    for key, field in registry.load(family, name).Config.model_fields.items():
        if type(None) in getattr(field.annotation, "__args__", ()):
            assert field.default is None, key


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        registry.load("data", "cifar_10")
    text = str(caught.value)
    assert text.startswith("unknown dataset (got 'cifar_10'). Did you mean cifar10")
    assert "digits" in text


@pytest.mark.parametrize("name", ["", "_split", "../errors", "__init__", "digits.py", "os"])
def test_only_listed_names_are_imported(name: str) -> None:
    with pytest.raises(UserError, match="unknown dataset"):
        registry.load("data", name)


def test_unknown_family() -> None:
    with pytest.raises(UserError, match=r"unknown family \(got 'model'\). Did you mean models"):
        registry.names("model")
    with pytest.raises(UserError, match="unknown family"):
        registry.load("nothing", "digits")


def test_missing_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "spiketicket.neurons.relu", raising=False)
    with pytest.raises(UserError) as caught:
        registry.load("neurons", "relu")
    assert str(caught.value) == NO_TORCH


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ModuleNotFoundError("No module named 'aedat'", name="aedat.reader")

    monkeypatch.setattr(registry.importlib, "import_module", fail)
    with pytest.raises(UserError, match="the dataset digits needs the Python package aedat"):
        registry.load("data", "digits")


def test_a_broken_choice_is_not_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ModuleNotFoundError("No module named 'x'", name="spiketicket.data._gone")

    monkeypatch.setattr(registry.importlib, "import_module", fail)
    with pytest.raises(ModuleNotFoundError):
        registry.load("data", "digits")


def test_what_an_earlier_version_calls_otherwise_is_still_read():
    assert registry.load("neurons", "own") is registry.load("neurons", "custom")
    assert registry.load("neurons", "own").Config(name="own").name == "custom"
    assert "own" not in registry.names("neurons")
