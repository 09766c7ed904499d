"""Whose code is run: a file names a function, and nothing happens before the user names it too."""

import contextlib
import json
import os
import sys
from functools import partial

import numpy as np
import pytest

import spiketicket
from spiketicket.errors import UserError
from spiketicket.methods import fine_tuning
from spiketicket.models.of_ticket import from_ticket
from spiketicket.recipe import consent, parse_recipe, registry, to_toml
from spiketicket.recipe.consent import Consent, given
from spiketicket.sweep import Run
from spiketicket.sweep.plan import make_plan
from spiketicket.sweep.worker import Order, Settings, execute
from spiketicket.ticket import Ticket, TicketError

NAME = "net_of_the_consent_test"
MODULE = """
from pathlib import Path
from torch import nn
Path("imported").touch()
def make(**options):
    Path("called").write_text(repr(options))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a custom network, and an empty configuration of the user's."""
    (tmp_path / f"{NAME}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(consent, "config_file", lambda: tmp_path / "home" / "config.toml")
    fine_tuning._has_rest.cache_clear()  # it builds each network once
    yield tmp_path
    sys.modules.pop(NAME, None)


def recipe(name=f"{NAME}:make", **settings):
    return parse_recipe(
        {
            "name": "own",
            "data": {"name": "digits", "train_limit": 100},
            "model": {"name": name, **settings},
            "neuron": {"name": "custom"},
            "ticket": {"name": "edge_popup", "density": 0.5, "fine_tune_epochs": 1},
            "train": {"epochs": 1, "batch_size": 50, "tune": "off"},
        }
    )


def ticket(options=None, name=f"{NAME}:make", called=None):
    model = {"name": called or name, **({} if options is None else {"options": options})}
    shape = {"channels": 1, "height": 8, "width": 8, "classes": 10, "frames": 1}
    args = {"model": model, "neuron": {"name": "custom"}, "shape": shape}
    weight = np.zeros((10, 64), np.float32)
    return Ticket((), {"1.weight": weight}, {"network": {"name": name, "args": args}})


def untouched(folder):
    return not (folder / "imported").exists() and NAME not in sys.modules


# Recipes


def run_folder(folder):
    """A run folder that somebody sent, with a finished stage."""
    stage = folder / "run" / "seed-0" / "ticket"
    stage.mkdir(parents=True)
    (folder / "run" / "recipe.toml").write_text(to_toml(recipe()))
    (stage / "result.json").write_text("{}")
    return "run"


@pytest.mark.parametrize(
    "command",
    [
        ["find", "own.toml"],
        ["train", "own.toml"],
        ["sweep", "own.toml", "--axis", "ticket.density=0.3,0.5", "--dry-run"],
        ["sweep", "own.toml", "--axis", "ticket.density=0.3,0.5"],
        ["compare", "own.toml", "--methods", "edge_popup", "--dry-run"],
        ["compare", "own.toml", "--methods", "edge_popup"],
        ["find", "own.toml", "--network", "os:getcwd"],
    ],
    ids=" ".join,
)
def test_a_recipe_runs_no_code_by_itself(spike, here, command):
    (here / "own.toml").write_text(to_toml(recipe()))
    done = spike(*command)
    assert done.exit_code == 2
    assert f"model.name: is a custom network: its code would be run (got '{NAME}:make')" in (
        done.stderr
    )
    assert f"--network {NAME}:make" in done.stderr
    assert untouched(here)
    assert not list(here.glob("runs/own-*"))


@pytest.mark.parametrize("command", ["measure", "report", "show"])
def test_a_run_folder_runs_no_code(spike, here, command):
    with contextlib.suppress(UserError):
        spike(command, run_folder(here))
    assert untouched(here)


@pytest.mark.slow
@pytest.mark.parametrize(
    "value", ["2020-01-01", "nan", "inf", "9" * 40, '"' + "x" * 10_001 + '"', "[[07:32:00]]"]
)
def test_arguments_that_no_ticket_could_state_are_refused_at_once(spike, here, value):
    """Not by a traceback, nor when the search is over and its ticket is to be written."""
    text = to_toml(recipe()).replace("[model.options]", "")
    (here / "own.toml").write_text(f"{text}\n[model.options]\na = {value}\n")
    for command in (["find"], ["sweep", "--dry-run"], ["compare", "--dry-run"], ["train"]):
        done = spike(*command, "own.toml", "--network", f"{NAME}:make", "--trust-options")
        assert (done.exit_code, "own.toml: model.options" in done.stderr) == (2, True), done.stderr
    assert not (here / "called").exists()


@pytest.mark.parametrize("name", ["os:system", "os.path:join:x", "os path:system", ":", "a:b c"])
def test_only_a_function_can_be_named(name):
    """``os:system`` is a name; nothing else is, and reading a recipe calls neither."""
    if registry.is_custom(name):
        assert recipe(name, options={"command": "touch pwned"}).model.name == name
    else:
        with pytest.raises(UserError, match="unknown network"):
            recipe(name)
    with pytest.raises(UserError, match="unknown network"):
        registry.load("models", name)


@pytest.mark.parametrize("name", [[":"], {":": 1}, None, 3, b"a:b", True])
def test_what_is_no_text_names_nothing(name):
    for family in registry.FAMILIES:
        with pytest.raises(UserError, match="unknown"):
            registry.load(family, name)
    assert not registry.is_custom(name)


@pytest.mark.slow
def test_the_user_names_a_recipes_network(spike, here):
    (here / "own.toml").write_text(to_toml(recipe()))
    dry = spike("sweep", "own.toml", "--dry-run", "--network", f"{NAME}:make")
    assert dry.exit_code == 0, dry.output
    assert (here / "imported").exists()  # to see whether fine-tuning has anything to train


@pytest.mark.slow
def test_arguments_of_a_recipe_are_confirmed(spike, here):
    (here / "own.toml").write_text(to_toml(recipe(options={"channels": 24, "note": "a b"})))
    command = ["sweep", "own.toml", "--dry-run", "--network", f"{NAME}:make"]
    refused = spike(*command)
    assert refused.exit_code == 2
    assert "--options channels=24 --options 'note=\"a b\"'" in refused.stderr
    assert "--trust-options" in refused.stderr
    other = spike(*command, "--options", "channels=25", "--options", "note=a b")
    assert other.exit_code == 2
    assert "You gave {'channels': 25, 'note': 'a b'}" in other.stderr
    assert not (here / "called").exists()
    for confirmed in (["--options", "channels=24", "--options", "note=a b"], ["--trust-options"]):
        assert spike(*command, *confirmed).exit_code == 0
    assert (here / "called").read_text() == "{'channels': 24, 'note': 'a b'}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--options", "a=1"], "--options: goes with --network only"),
        (["--trust-options"], "--trust-options: goes with --network only"),
        (["--network", "a b"], "--network: names no custom network (got 'a b')"),
        (["--network", "a:b", "--options", "a"], "--options: must have the form key=value"),
        (["--network", "a:b", "--options", "a=1", "--options", "a=2"], "is given twice"),
    ],
)
def test_options_that_make_no_sense(spike, here, given, message):
    done = spike("find", *given)
    assert done.exit_code == 2
    assert message in done.stderr


def test_python_names_it_too(here):
    with pytest.raises(UserError, match=r"model\.name: is a custom network.*network="):
        spiketicket.find(recipe(), runs_dir=here / "runs")
    with pytest.raises(UserError, match="is a custom network"):
        spiketicket.train_dense(recipe(), runs_dir=here / "runs")
    assert untouched(here)
    spiketicket.train_dense(recipe(), runs_dir=here / "runs", network=f"{NAME}:make")
    # It does not hold any longer than the call.
    with pytest.raises(UserError, match="is a custom network"):
        spiketicket.train_dense(recipe(), runs_dir=here / "runs")


def test_a_worker_has_the_consent_it_was_handed(here):
    run = Run(recipe(), (0,), {})
    (here / "runs" / "sweep-x" / "tokens").mkdir(parents=True)
    with given(Consent(f"{NAME}:make")):
        task = make_plan([run], here / "runs", "cpu").tasks[0]
    sys.modules.pop(NAME)
    (here / "called").unlink()
    (here / "runs" / "sweep-x" / "tokens" / task.id).write_text("t")
    settings = Settings(runs_dir=str(here / "runs"), sweep="sweep-x")
    refused = execute(Order(task, 1, "t"), settings)
    assert refused.state == "failed"
    assert "is a custom network" in refused.error["message"]
    assert not (here / "called").exists()
    done = execute(Order(task, 1, "t", Consent(f"{NAME}:make")), settings)
    assert (done.state, done.error) == ("done", None)


# The user's own file


def trusting(folder, text, mode=0o600):
    file = folder / "home" / "config.toml"
    file.parent.mkdir()
    file.write_text(text)
    file.chmod(mode)


def test_a_trusted_function_takes_any_arguments(spike, here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    trusting(here, f'trust = ["a:b", "{NAME}:make"]')
    (here / "own.toml").write_text(to_toml(recipe(options={"channels": 24})))
    assert spike("sweep", "own.toml", "--dry-run").exit_code == 0
    # Of a ticket, the user names it each time.
    with pytest.raises(TicketError, match="is of a custom network"):
        from_ticket(ticket())


def test_a_trusted_function_is_not_looked_for_in_the_current_folder(spike, here):
    """Which may be the one of a recipe that a stranger wrote, with a module of that name."""
    trusting(here, f'trust = ["{NAME}:make"]')
    (here / "own.toml").write_text(to_toml(recipe()))
    done = spike("train", "own.toml")
    assert done.exit_code == 2
    assert f"there is no Python module {NAME}" in done.stderr
    assert f"must be installed, or named: --network {NAME}:make" in done.stderr
    assert untouched(here)


@pytest.mark.skipif(os.name != "posix", reason="folders are private here")
def test_a_file_in_a_folder_that_others_can_write_trusts_nobody(here):
    trusting(here, f'trust = ["{NAME}:make"]')
    (here / "home").chmod(0o777)
    with pytest.raises(UserError, match=r"not yours alone to write.*home can be written by others"):
        consent.trusted()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_trusts_nobody(spike, here, mode):
    trusting(here, f'trust = ["{NAME}:make"]', mode)
    (here / "own.toml").write_text(to_toml(recipe()))
    done = spike("find", "own.toml")
    assert done.exit_code == 2
    assert "config.toml: is not yours alone to write" in done.stderr
    assert untouched(here)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
def test_a_file_of_another_user_trusts_nobody(here, monkeypatch):
    trusting(here, f'trust = ["{NAME}:make"]')
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UserError, match="is not yours alone to write"):
        consent.trusted()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trust = 3", "must be a list of module:function"),
        ('trust = ["a"]', "must be a list of module:function"),
        ("trust = [[]]", "must be a list of module:function"),
        ("trust =", "is not valid TOML"),
        (".".join(["a"] * 5000) + "=1", "more than 1000 dots"),
        ("trust = 0x" + "f" * 20_000, "more than 1000 bits"),
        ("x = " + 500 * "[" + 500 * "]", "is not valid TOML"),
    ],
)
def test_a_file_that_does_not_say_whom_to_trust(here, text, message):
    trusting(here, text)
    with pytest.raises(UserError, match=message):
        consent.trusted()


def test_without_a_home_nobody_is_trusted(here, monkeypatch):
    """``~`` that stays ``~`` would be a folder of the current one, which may be a stranger's."""
    trusting(here, f'trust = ["{NAME}:make"]')
    monkeypatch.setattr(consent, "config_file", lambda: consent.Path("home") / "config.toml")
    assert consent.trusted() == frozenset()


# Tickets


def test_a_ticket_is_opened_with_the_users_name_and_arguments(here):
    assert from_ticket(ticket(), network=f"{NAME}:make").training is False
    assert (here / "called").read_text() == "{}"
    stated = ticket({"channels": 24})
    from_ticket(stated, network=f"{NAME}:make", options={"channels": 24})
    assert (here / "called").read_text() == "{'channels': 24}"
    from_ticket(stated, network=f"{NAME}:make", trust_options=True)


@pytest.mark.parametrize("given", [None, {}, {"channels": 25}, {"channels": 24.0}, {"x": 1}])
def test_a_tickets_arguments_are_confirmed(here, given):
    message = r"network\.args\.model\.options: .*not confirmed \(got \{'channels': 24\}\)"
    with pytest.raises(TicketError, match=message) as error:
        from_ticket(ticket({"channels": 24}), network=f"{NAME}:make", options=given)
    assert "`options={'channels': 24}`, or say `trust_options=True`" in error.value.remedy
    assert untouched(here)


def test_arguments_that_a_ticket_does_not_state_are_refused(here):
    with pytest.raises(TicketError, match=r"states no arguments.*You gave \{'channels': 24\}"):
        from_ticket(ticket(), network=f"{NAME}:make", options={"channels": 24})
    assert untouched(here)


@pytest.mark.parametrize("own", ["", "os:system", f"{NAME}:made"])
def test_a_ticket_of_a_network_that_was_not_named(here, own):
    with pytest.raises(TicketError, match="is of a custom network"):
        from_ticket(ticket(), network=own)
    assert untouched(here)


@pytest.mark.parametrize("kind", ["memory", "file"])
@pytest.mark.parametrize(
    ("name", "called", "where"),
    [
        ([":"], "os:system", "network.name"),
        ({":": 1}, "os:system", "network.name"),
        (f"{NAME}:make", "os:system", "network.args.model.name"),
        ("convnet", "os:system", "network.args.model.name"),
        ("convnet", [":"], "network.args.model.name"),
    ],
    ids=json.dumps,
)
def test_the_name_that_is_trusted_is_the_one_that_is_called(here, kind, name, called, where):
    forged = ticket({"command": "touch pwned"}, name, called)
    options = {"command": "touch pwned"}
    read = forged.to_bytes if kind == "file" else partial(from_ticket, forged, options=options)
    with pytest.raises(TicketError) as error:
        read(**({} if kind == "file" else {"network": f"{NAME}:make"}))
    assert error.value.where == where
    assert untouched(here)
    assert not (here / "pwned").exists()


def test_verify_asks_for_the_same_consent(spike, here):
    """Of a ticket of one's own network, and of the search that is done again."""
    own, options = f"{NAME}:make", {"note": "a b"}
    made = recipe(options=options)
    for_controls = {"dense": False, "random_trained": False, "random_frozen": True}
    made = made.model_copy(update={"controls": made.controls.model_copy(update=for_controls)})
    found = spiketicket.find(made, runs_dir=here / "runs", network=own, options=options)
    path = str(found.tickets[0])
    (here / "called").unlink()
    unknown = spike("verify", path, "--rerun", "--json")
    assert f"trust it with --network {own}" in unknown.output
    refused = spike("verify", path, "--rerun", "--network", own)
    assert refused.exit_code == 2
    assert "--options 'note=\"a b\"'" in refused.stderr
    assert not (here / "called").exists()
    for confirmed in (["--options", "note=a b"], ["--trust-options"]):
        done = spike("verify", path, "--rerun", "--json", "--network", own, *confirmed)
        states = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
        assert (states["accuracy"], states["search again"]) == ("fits", "fits"), done.stdout
