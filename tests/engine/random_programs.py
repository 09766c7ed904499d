"""Random small programs, and how the C library is held to the numpy executor on them.

Also a script, ``python random_programs.py FIRST COUNT``, for builds of the library that need a
process of their own; ``SPIKETICKET_ENGINE_LIBRARY`` names the build.
"""

import sys

import numpy as np

from spiketicket.engine import ops, reference
from spiketicket.engine.library import Net, NetState, levels
from spiketicket.engine.program import Builder, Kind, ProgramError
from spiketicket.engine.stepwise import Memory, Stepper
from spiketicket.errors import UserError

LIF, STEP, RELU, SIGN = ops.NeuronKind
SIZES = (1, 2, 3, 5, 7, 8, 9, 11, 13, 16, 17)


class Maker:
    """Adds random ops to a builder; ``h`` is the register that the next op reads."""

    def __init__(self, seed):
        self.r = r = np.random.default_rng(seed)
        self.exact = r.random() < 0.4  # powers of two everywhere: sums meet thresholds exactly
        steps = int(r.choice((1, 2, 3, 4, 5, 8, 8, 32)))
        channels = int(r.integers(1, 5))
        high, wide = (int(r.choice(SIZES)) for _ in range(2))
        if r.random() < 0.2:
            high, wide = 4 * int(r.integers(1, 10)), 4 * int(r.integers(1, 10))
        self.lut = r.normal(size=(channels, 256)).astype(np.float32) if r.random() < 0.3 else None
        self.b = Builder(
            steps=steps,
            frames=int(r.choice((1, steps))),
            channels=channels,
            height=high,
            width=wide,
            classes=int(r.integers(1, 6)),
            lut=self.lut,
        )
        self.h = 0

    @property
    def value(self):
        return self.b.value(self.h)

    def chance(self, p):
        return self.r.random() < p

    def number(self, low, high):
        x = self.r.uniform(low, high)
        return float(np.float32(round(x * 4) / 4 if self.exact else x))

    def array(self, n, low, high):
        return np.array([self.number(low, high) for _ in range(n)], np.float32)

    def weights(self, shape):
        keep = self.r.choice((0.05, 0.2, 0.5, 1.0))
        fan_in = max(1.0, keep * np.prod(shape[1:]))
        if self.chance(0.2) and not self.exact:
            weight = self.r.normal(size=shape) * (self.r.random(shape) < keep) / np.sqrt(fan_in)
            return {"weight": weight.astype(np.float32)}
        signs = self.r.choice((-1, 0, 1), shape, p=(keep / 2, 1 - keep, keep / 2))
        alpha = 1.5 / np.sqrt(fan_in)
        alpha = 2.0 ** round(np.log2(alpha)) if self.exact else alpha
        sign = -1 if self.chance(0.1) else 1
        return {"signs": signs.astype(np.int8), "alpha": float(np.float32(sign * alpha))}

    def layer(self, cout=None, kernel=None, flatten=False, src=None):
        h = self.h if src is None else src
        v, r = self.b.value(h), self.r
        cout = cout or int(r.choice((1, 2, 3, 5, 8, 9, 16, 40)))
        if kernel is None:
            kernel = tuple(int(k) for k in r.choice((1, 3, 5), 2)) if self.chance(0.2) else None
            kernel = kernel or (int(r.choice((1, 3, 3, 3, 5))),) * 2
        stride = int(r.choice((1, 1, 1, 2, 3))) if max(kernel) > 1 else 1
        pad = int(r.choice((kernel[0] // 2, r.integers(0, max(kernel)))))
        if kernel == (1, 1):
            pad = 0
        while min(v.height + 2 * pad - kernel[0], v.width + 2 * pad - kernel[1]) < 0:
            kernel, pad = (1, 1), 0
        cin = v.plane if flatten else v.channels
        extra = {}
        high, wide = (
            (side + 2 * pad - k) // stride + 1
            for side, k in zip((1, 1) if flatten else (v.height, v.width), kernel, strict=True)
        )
        if self.chance(0.4):
            extra["pool"] = min(int(r.choice((2, 2, 2, 3))), high, wide)
        if self.chance(0.3):
            extra["bias"] = self.array(cout, -0.5, 0.5)
        if self.chance(0.7):
            signs = r.choice((-1, 1, 1, 1), cout).astype(np.float32)
            a = np.ones(cout, np.float32) if self.exact else self.array(cout, 0.5, 1.5)
            extra |= {"a": a * signs, "b": self.array(cout, -0.5, 0.8)}
            if self.chance(0.1):
                extra["a"][0] = 0
        return self.b.add(
            ops.Synapse,
            h,
            stride=stride,
            pad=pad,
            flatten=flatten,
            **self.weights((cout, cin, *kernel)),
            **extra,
        )

    def neuron(self, *inputs, spiking=False):
        r = self.r
        kind = LIF if self.chance(0.7) else STEP if spiking else r.choice((STEP, RELU, SIGN))
        plain = self.chance(0.6)
        reset = 0.0 if plain or self.chance(0.5) else self.number(-0.5, 0.5)
        resets = {}
        if kind == LIF and self.chance(0.3):
            resets = {"strict": self.chance(0.5), r.choice(("late", "keep")): self.chance(0.6)}
        return self.b.add(
            ops.Neuron,
            *inputs,
            kind=ops.NeuronKind(kind),
            charge=0 if plain else int(r.integers(0, 5)),
            soft=not plain and self.chance(0.4),
            decay=0.5 if plain else float(r.choice((0.0, 0.2, 0.5, 0.99))),
            tau=float(r.choice((2.0, 1.25, 100.0))),
            v_threshold=self.number(0.25, 1.25),
            v_reset=reset,
            v_rest=reset,
            **resets,
        )

    def spikes(self, src=None, cout=None, kernel=None):
        return self.neuron(self.layer(cout, kernel, src=src), spiking=True)

    def conv_block(self):
        self.h = self.neuron(self.layer())
        if self.chance(0.4):
            self.pool()

    def pool(self):
        k = int(self.r.choice((2, 2, 3)))
        if min(self.value.height, self.value.width) >= k:
            pad, stride = int(self.chance(0.3)), int(self.r.choice((1, 2, 2, 3)))
            self.h = self.b.add(ops.MaxPool, self.h, k=k, stride=stride, pad=pad)

    def residual(self):
        channels = self.value.channels
        kernel = (3, 3) if min(self.value.height, self.value.width) > 2 else (1, 1)
        branch = self.b.add(
            ops.Synapse,
            self.h,
            pad=kernel[0] // 2,
            **self.weights((channels, channels, *kernel)),
        )
        if self.chance(0.5):
            self.h = self.neuron(branch, self.h)
        else:
            self.h = self.b.add(ops.Add, self.neuron(branch), self.h)

    def leak(self):
        form = self.chance(0.5)
        rate = float(self.r.choice((-0.25, -1.0) if form else (0.5, 0.9, 1.0)))
        leaky = self.b.add(ops.Leak, self.layer(), own=form, rate=rate)
        self.h = self.neuron(leaky) if self.chance(0.7) else leaky

    def concat(self):
        parts = [self.h, self.spikes(kernel=(1, 1))]
        if self.chance(0.5):
            parts.append(self.layer(kernel=(1, 1)))
        self.h = self.b.add(ops.Concat, *parts)

    def attention(self):
        q, k, v = (self.spikes(cout=4, kernel=(1, 1)) for _ in range(3))
        if not all(self.b.value(x).shape == self.b.value(q).shape for x in (k, v)):
            return
        if self.chance(0.3):
            k = self.b.add(ops.Add, k, q)
        if self.chance(0.6):
            heads = int(self.r.choice((1, 2, 4)))
            self.h = self.b.add(ops.Attention, q, k, v, heads=heads, scale=0.125)
        else:
            total = self.b.add(ops.TokenSum, k, v, scale=0.25)
            mask = self.b.add(ops.Neuron, total, kind=STEP, v_threshold=0.5)
            self.h = self.b.add(ops.Mask, q if self.chance(0.5) else v, mask)

    def tokens(self):
        kind = int(self.r.integers(0, 4))
        if kind >= 2:
            x = self.spikes(kernel=(1, 1), cout=3)
            y = self.spikes(kernel=(1, 1), cout=3)
            if self.b.value(x).shape != self.b.value(y).shape:
                return
            score = self.b.add(ops.Score, x, y, kind=kind)
        else:
            score = self.b.add(ops.Score, self.h, kind=kind)
        k = int(self.r.integers(1, self.b.value(score).positions + 1))
        ids = self.b.add(ops.TopK, score, k=k)
        self.h = self.b.add(ops.Gather, self.h, ids)

    def fill(self):
        v = self.value
        rows = int(self.r.choice([d for d in range(1, v.height + 1) if v.height % d == 0]))
        columns = int(self.r.choice([d for d in range(1, v.width + 1) if v.width % d == 0]))
        if self.chance(0.5):
            score = self.b.add(
                ops.Score, self.h, kind=ops.ScoreKind.PIXEL_ENERGY, rows=rows, columns=columns
            )
            ids = self.b.add(ops.TopK, score, k=int(self.r.integers(1, rows * columns + 1)))
        else:
            chosen = np.flatnonzero(self.r.random(rows * columns) < 0.5)
            chosen = chosen if chosen.size else np.array([0])
            ids = self.b.add(ops.ConstIds, ids=chosen.astype(np.int32), tokens=rows * columns)
        self.h = self.b.add(ops.ZeroFill, self.h, ids, rows=rows, columns=columns)

    def head(self):
        classes = self.b.program_classes
        if self.chance(0.5):
            self.h = self.layer(cout=classes, kernel=(1, 1), flatten=True)
            self.h = self.b.add(ops.Mean, self.h, time=True, positions=False)
        else:
            self.h = self.b.add(ops.Mean, self.h, time=True, positions=True)
            self.h = self.layer(cout=classes, kernel=(1, 1))


def make(seed):
    """A program, and three inputs of it."""
    m = Maker(seed)
    m.b.program_classes = m.b._sizes["classes"]
    if m.chance(0.2):
        m.fill()
    for _ in range(int(m.r.integers(1, 4))):
        try:
            blocks = (m.conv_block, m.conv_block, m.residual, m.attention, m.tokens)
            m.r.choice((*blocks, m.leak, m.concat))()
        except ProgramError:
            break  # this block does not fit here; what there is makes a program
    m.head()
    program = m.b.program()
    shape = (3, program.frames, program.channels, program.height, program.width)
    if m.lut is not None:
        return program, m.r.integers(0, 256, shape, dtype=np.uint8)
    x = m.r.normal(size=shape)
    return program, (np.round(x * 4) / 4 if m.exact else x).astype(np.float32)


def assert_close(got, want, where):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=where, equal_nan=True)


def whole_numbers():
    """Wide sums of whole numbers whose rows end within a vector: what lies behind is added, too."""
    b = Builder(steps=1, frames=1, channels=2, height=3, width=3, classes=1)
    h = b.add(ops.Neuron, 0, kind=STEP, v_threshold=0.0)
    h = b.add(ops.Add, h, h)
    h = b.add(ops.Synapse, h, pad=1, signs=np.ones((64, 2, 3, 3), np.int8), alpha=1.0)
    h = b.add(ops.Mean, h, time=True, positions=True)
    b.add(ops.Synapse, h, weight=np.ones((1, 64, 1, 1), np.float32))
    return b.program(), np.ones((3, 1, 2, 3, 3), np.float32)


def check(seed):
    """A random program."""
    check_program(*make(seed), f"seed {seed}")


def check_program(program, x, name):
    """Every register, and the logits however they are computed, at every level."""
    content = program.to_bytes()
    want = reference.trace(program, x, list(range(len(program.values))))
    logits = reference.run(program, x)
    for level in levels():
        where = f"{name}, {level}"
        with Net(content, level, keep_registers=True) as net:
            for register, value in enumerate(program.values):
                got = net.trace(want[0][0], register, value.shape)
                if value.kind is Kind.F32:
                    assert_close(got, want[register][0], f"{where}, register {register}")
                else:
                    same = (got == want[register][0]).all()
                    assert same, f"{where}: register {register} {value} differs"
            apart = net.run(x)
        with Net(content, level) as net:
            whole = net.run(x)
            assert_close(whole, logits, where)
            assert (whole == apart).all(), f"{where}: joined steps give other logits"
            assert (net.run(x, threads=2) == whole).all(), f"{where}: threads"
            assert (net.run(x[1:2]) == whole[1:2]).all(), f"{where}: batch"
            many = net.run(np.concatenate([x] * 11)[:32], threads=2)
            assert (many == np.concatenate([whole] * 11)[:32]).all(), f"{where}: batch of 32"
        with Net(content, level, latency=True) as net:
            for threads in range(1, 6):
                same = (net.run(x, threads=threads) == whole).all()
                assert same, f"{where}: {threads} threads on one image"
            net.tune(reference.as_float(program, x))
            for threads in (1, 3):
                assert (net.run(x, threads=threads) == whole).all(), f"{where}: tuned"
        check_steps(program, x, level, whole, where)
    check_numpy_steps(program, x, logits, name)


def frames_of(program, x):
    """What each step sees; a picture is shown once."""
    if program.frames > 1:
        return [np.ascontiguousarray(x[:, t : t + 1]) for t in range(program.steps)]
    return [x] + [None] * (program.steps - 1)


def check_steps(program, x, level, whole, where):
    """Step by step, from rest and once more, the answers of all steps at once."""
    frames = frames_of(program, x)
    try:
        Stepper(program)
    except UserError:
        try:
            Net(program.to_bytes(), level, stepwise=True)
        except UserError:
            return
        raise AssertionError(f"{where}: the library runs by steps what has none") from None
    for tuned in (False, True):
        with Net(program.to_bytes(), level, stepwise=True, latency=tuned) as net:
            if tuned:
                net.tune(reference.as_float(program, frames[0]))
            states = [NetState(net) for _ in x]
            for _ in range(2):
                for frame in frames:
                    got = net.step(states, frame, threads=1 + tuned)
                assert (got == whole).all(), f"{where}: by steps{', tuned' * tuned}"
                for state in states:
                    state.reset()
            del states, state


def check_numpy_steps(program, x, logits, where):
    """The same of the definition; and it goes on as the library does."""
    try:
        stepper, memory = Stepper(program), Memory(len(x))
    except UserError:
        return
    frames = frames_of(program, x)
    for frame in frames:
        got = stepper.step(memory, frame)
    assert (got == logits).all(), f"{where}: the definition by steps"
    with Net(program.to_bytes(), stepwise=True) as net:
        states = [NetState(net) for _ in x]
        for frame in frames:
            net.step(states, frame)
        memory.restart_mean()
        for state in states:
            state.restart_mean()
        memory.select([2, 0])
        for frame in (frames[0][[2, 0]], None, None, frames[0][[0, 1]]):
            got, want = net.step([states[2], states[0]], frame), stepper.step(memory, frame)
            assert_close(got, want, f"{where}: the steps after the last")
        del states, state


if __name__ == "__main__":
    first, count = map(int, sys.argv[1:])
    for number in range(first, first + count):
        check(number)
    check_program(*whole_numbers(), "whole numbers")
    print(count, "programs,", *levels())
