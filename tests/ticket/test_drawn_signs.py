"""Signs left to the seed: those of the search, drawn anew and checked, or refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from places import FILES

from spiketicket.streams import Stream
from spiketicket.ticket import Ticket, TicketError, TicketLayer, codec, describe

FOUND = FILES / "format-1-convnet.ticket"


def layer(name="a.b.conv", seed=3, drawn_as="b.conv", kind="signs", kept=700):
    shape = (40, 5, 3, 3)
    mask = np.zeros(1800, bool)
    mask[Stream(1, name).permutation(1800)[:kept]] = True
    stream = Stream(seed, "weight", drawn_as)
    values = stream.signs(1800) if kind == "signs" else np.sign(stream.normal(1800))
    signs = (values.astype(np.int8) * mask).reshape(shape)
    mask = mask.reshape(shape)
    return TicketLayer(name=name, shape=shape, kind="binary", mask=mask, alpha=0.5, signs=signs)


def dense(name="head"):
    ones = np.ones((3, 4), np.float32)
    return TicketLayer(name=name, shape=(3, 4), kind="float", mask=ones > 0, values=ones)


def ticket(*layers, seed=3):
    return Ticket(layers, {"bias": np.ones(2, np.float32)}, {"seed": seed})


@pytest.mark.parametrize("kind", ["signs", "normal"])
@pytest.mark.parametrize("drawn_as", ["a.b.conv", "b.conv", "conv"])
def test_signs_of_the_seed_are_left_out_and_come_back(kind, drawn_as, tmp_path):
    made = ticket(layer(kind=kind, drawn_as=drawn_as), dense())
    made.save(tmp_path / "t", signs="seed")
    arrays = codec.decode((tmp_path / "t").read_bytes())[1]
    assert {n.partition("/")[0] for n in arrays} == {"mask", "drawn", "alpha", "values", "state"}
    left_out = "a.b.conv".count(".") - drawn_as.count(".")
    expected = [["signs", "normal"].index(kind), left_out]
    assert arrays["drawn/a.b.conv"].tolist() == expected
    loaded = Ticket.load(tmp_path / "t")
    assert loaded == made
    assert np.array_equal(loaded.layers[0].signs, made.layers[0].signs)
    assert loaded.to_bytes() == made.to_bytes()
    assert loaded.to_bytes(signs="seed") == (tmp_path / "t").read_bytes()


@pytest.mark.parametrize("kind", ["signed_constant", "kaiming_normal"])
def test_they_are_the_signs_that_a_search_draws(kind):
    from spiketicket.methods.weights import WeightStart, initial_weight

    shape = (40, 5, 3, 3)
    weight = initial_weight(WeightStart(kind), shape, Stream(9, "weight", "f.0")).numpy()
    signs = np.where(weight < 0, -1, 1).astype(np.int8)
    mask = np.ones(shape, bool)
    made = TicketLayer(name="f.0", shape=shape, kind="binary", mask=mask, alpha=1.0, signs=signs)
    content = ticket(made, seed=9).to_bytes(signs="seed")
    assert "drawn/f.0" in codec.decode(content)[1]
    assert np.array_equal(Ticket.from_bytes(content).layers[0].signs, signs)


def test_a_ticket_that_a_search_found_needs_no_signs(tmp_path):
    found = Ticket.load(FOUND)
    found.save(tmp_path / "t", signs="seed")
    assert Ticket.load(tmp_path / "t") == found
    drawn = {row.name: row.drawn for row in describe(tmp_path / "t").layers}
    # Of a layer with few kept weights the signs are shorter than what names their draw.
    assert drawn == {layer.name: -(-layer.kept // 8) > 2 for layer in found.layers}
    assert True in drawn.values()


def test_describe_counts_drawn_signs_as_the_file_has_them(tmp_path):
    made = ticket(layer())
    made.save(tmp_path / "t")
    made.save(tmp_path / "raw", signs="raw")
    raw, drawn = describe(tmp_path / "raw").layers[0], describe(tmp_path / "t").layers[0]
    assert (raw.drawn, drawn.drawn) == (False, True)
    assert raw.packed_bytes - drawn.packed_bytes == -(-700 // 8) - 2
    assert raw.entropy_bytes - drawn.entropy_bytes == pytest.approx(700 / 8 - 2)


def test_other_signs_than_the_seeds_are_refused_by_name():
    good, changed = (layer(name=name, drawn_as=name) for name in ("good", "changed"))
    signs = changed.signs.copy()
    # The last kept sign alone, which is not among the first ones that are looked at.
    signs[np.unravel_index(np.flatnonzero(changed.mask)[-1], changed.shape)] *= -1
    changed = dataclasses.replace(changed, signs=signs)
    with pytest.raises(TicketError, match=r"changed: its signs are not those that seed 3 draws"):
        ticket(good, changed).to_bytes(signs="seed")
    with pytest.raises(TicketError, match="good: its signs are not those that seed 4 draws"):
        ticket(good, seed=4).to_bytes(signs="seed")
    # also where they would stay in the file, because they are short
    with pytest.raises(TicketError, match="few: its signs are not"):
        ticket(layer(name="few", drawn_as="else", kept=12)).to_bytes(signs="seed")


@pytest.mark.parametrize("seed", [None, -1, 1 << 64, 3.0, True, "3"])
def test_without_a_seed_nothing_is_left_out(seed):
    with pytest.raises(TicketError, match="seed: the ticket names no seed"):
        ticket(layer(), seed=seed).to_bytes(signs="seed")


def test_what_cannot_be_left_out_is_said(tmp_path):
    with pytest.raises(TicketError, match="no layer is binary"):
        ticket(dense()).to_bytes(signs="seed")
    with pytest.raises(TicketError, match="signs: must be auto, raw or seed"):
        ticket(layer()).save(tmp_path / "t", signs="none")
    assert not list(tmp_path.iterdir())


def forged(change):
    content = ticket(layer(drawn_as="a.b.conv")).to_bytes(signs="seed")
    metadata, arrays = codec.decode(content)
    arrays["drawn/a.b.conv"] = change(arrays["drawn/a.b.conv"].copy())
    return codec.encode(metadata, arrays)


def put(index, value):
    def change(numbers):
        numbers[index] = value
        return numbers

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (put(0, 1), "its content does not match its digest"),
        (put(0, 2), "names no known draw"),
        (put(1, 1), "its content does not match its digest"),
        (put(1, 3), "names no known draw"),
        (lambda numbers: numbers[:1], "must be two bytes or four numbers"),
        (lambda numbers: numbers.astype(np.int8), "must be two bytes or four numbers"),
        (lambda _: np.array([0, 3, 0, 0], np.uint64), "the signs that seed 3 draws are not"),
        (lambda _: np.array([0, 4, 0, 0], np.uint64), "the signs that seed 4 draws are not"),
    ],
)
def test_a_draw_that_gives_other_signs_is_refused(change, text):
    with pytest.raises(TicketError) as error:
        Ticket.from_bytes(forged(change))
    assert text in str(error.value)


def test_signs_are_left_out_wherever_they_can_be_and_else_stored():
    own, other = layer(drawn_as="a.b.conv"), layer(name="c", drawn_as="else")
    arrays = codec.decode(ticket(own, other).to_bytes())[1]
    assert {"drawn/a.b.conv", "signs/c"} <= arrays.keys()
    assert not {"signs/a.b.conv", "drawn/c"} & arrays.keys()
    for seed in (None, -1, 1 << 64, "3"):
        content = Ticket((own,), {}, {} if seed is None else {"x": seed}).to_bytes()
        assert "signs/a.b.conv" in codec.decode(content)[1]
    metadata, arrays = codec.decode(ticket(own).to_bytes())
    del metadata["seed"]
    with pytest.raises(TicketError, match="seed: the ticket names no seed"):
        Ticket.from_bytes(codec.encode(metadata, arrays))


def test_both_signs_and_draw_are_refused():
    metadata, arrays = codec.decode(ticket(layer()).to_bytes(signs="seed"))
    arrays["signs/a.b.conv"] = np.zeros(88, np.uint8)
    with pytest.raises(TicketError, match="belongs to no layer"):
        Ticket.from_bytes(codec.encode(metadata, arrays))
