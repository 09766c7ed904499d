"""Small published networks, written from their papers, in the forms their users write them in."""

import torch
from torch import nn
from torch.nn import functional

from spiketicket.data import digits


def csnn_tutorial_6(steps=6, channels=(12, 24)):
    """The convolutional network of snnTorch's tutorial 6: states are handed on by hand."""
    import snntorch as snn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            first, second = channels
            self.steps = steps
            self.conv1, self.lif1 = nn.Conv2d(1, first, 5), snn.Leaky(beta=0.5)
            self.conv2, self.lif2 = nn.Conv2d(first, second, 5), snn.Leaky(beta=0.5)
            self.fc1, self.lif3 = nn.Linear(second * 16, 10), snn.Leaky(beta=0.5)

        def forward(self, x):
            mem1, mem2, mem3 = (lif.init_leaky() for lif in (self.lif1, self.lif2, self.lif3))
            spikes = []
            for _ in range(self.steps):
                spk1, mem1 = self.lif1(functional.max_pool2d(self.conv1(x), 2), mem1)
                spk2, mem2 = self.lif2(functional.max_pool2d(self.conv2(spk1), 2), mem2)
                spk3, mem3 = self.lif3(self.fc1(spk2.view(x.size(0), -1)), mem3)
                spikes.append(spk3)
            return torch.stack(spikes, dim=0)

    return Net()


def fashion_mnist_csnn(steps=4, channels=8):
    """SpikingJelly's network for Fashion-MNIST: all steps in one call, a rate as the answer."""
    from spikingjelly.activation_based import functional as jelly
    from spikingjelly.activation_based import layer, neuron, surrogate

    def fires():
        return neuron.IFNode(surrogate_function=surrogate.ATan())

    class CSNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.T = steps
            self.conv_fc = nn.Sequential(
                layer.Conv2d(1, channels, kernel_size=3, padding=1, bias=False),
                layer.BatchNorm2d(channels),
                fires(),
                layer.MaxPool2d(2, 2),
                layer.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
                layer.BatchNorm2d(channels),
                fires(),
                layer.MaxPool2d(2, 2),
                layer.Flatten(),
                layer.Linear(channels * 7 * 7, channels * 4 * 4, bias=False),
                fires(),
                layer.Linear(channels * 4 * 4, 10, bias=False),
                fires(),
            )
            jelly.set_step_mode(self, step_mode="m")

        def forward(self, x):
            x_seq = x.unsqueeze(0).repeat(self.T, 1, 1, 1, 1)
            return self.conv_fc(x_seq).mean(0)

    return CSNN()


def dvs_gesture_net(channels=6, layers=3, side=32):
    """SpikingJelly's network for DVS128 Gesture: frames, LIF neurons, a vote of ten a class."""
    from spikingjelly.activation_based import functional as jelly
    from spikingjelly.activation_based import layer, neuron, surrogate

    def fires():
        return neuron.LIFNode(surrogate_function=surrogate.ATan(), detach_reset=True)

    class DVSGestureNet(nn.Module):
        def __init__(self):
            super().__init__()
            conv = []
            for i in range(layers):
                conv.append(
                    layer.Conv2d(
                        2 if i == 0 else channels, channels, kernel_size=3, padding=1, bias=False
                    )
                )
                conv += [layer.BatchNorm2d(channels), fires(), layer.MaxPool2d(2, 2)]
            last = side >> layers
            self.conv_fc = nn.Sequential(
                *conv,
                layer.Flatten(),
                layer.Dropout(0.5),
                layer.Linear(channels * last * last, 64),
                fires(),
                layer.Dropout(0.5),
                layer.Linear(64, 110),
                fires(),
                layer.VotingLayer(10),
            )
            jelly.set_step_mode(self, step_mode="m")

        def forward(self, x):
            return self.conv_fc(x).mean(0)

    return DVSGestureNet()


def sew_block_net(channels=8, steps=4):
    """A stem and two blocks of SEW ResNet (Fang et al. 2021), spikes added to spikes."""
    from spikingjelly.activation_based import functional as jelly
    from spikingjelly.activation_based import layer, neuron

    def part(inputs, outputs, stride=1):
        return nn.Sequential(
            layer.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            layer.BatchNorm2d(outputs),
            neuron.IFNode(detach_reset=True),
        )

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.first, self.second = part(inputs, outputs, stride), part(outputs, outputs)
            self.down = None
            if stride > 1:
                self.down = nn.Sequential(
                    layer.Conv2d(inputs, outputs, 1, stride, bias=False),
                    layer.BatchNorm2d(outputs),
                    neuron.IFNode(detach_reset=True),
                )

        def forward(self, x):
            out = self.second(self.first(x))
            return out + (x if self.down is None else self.down(x))

    class SEWNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = part(1, channels)
            self.blocks = nn.Sequential(
                Block(channels, channels, 1), Block(channels, 2 * channels, 2)
            )
            self.pool = layer.AdaptiveAvgPool2d((1, 1))
            self.fc = layer.Linear(2 * channels, 10)
            jelly.set_step_mode(self, step_mode="m")

        def forward(self, x):
            x = x.unsqueeze(0).repeat(steps, 1, 1, 1, 1)
            x = self.blocks(self.stem(x))
            return self.fc(self.pool(x).flatten(2)).mean(0)

    return SEWNet()


def plif_net(channels=8, steps=5):
    """The network of PLIF (Fang et al. 2021) for MNIST, called step by step."""
    from spikingjelly.activation_based import neuron

    class PLIFNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = steps
            self.net = nn.Sequential(
                nn.Conv2d(1, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                neuron.ParametricLIFNode(init_tau=2.0, detach_reset=True),
                nn.MaxPool2d(2, 2),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                neuron.ParametricLIFNode(init_tau=2.0, detach_reset=True),
                nn.MaxPool2d(2, 2),
                nn.Flatten(),
                nn.Dropout(0.5),
                nn.Linear(channels * 49, 128, bias=False),
                neuron.ParametricLIFNode(init_tau=2.0, detach_reset=True),
                nn.Dropout(0.5),
                nn.Linear(128, 100, bias=False),
                neuron.ParametricLIFNode(init_tau=2.0, detach_reset=True),
            )
            self.boost = nn.AvgPool1d(10, 10)

        def forward(self, x):
            counts = self.boost(self.net(x).unsqueeze(1)).squeeze(1)
            for _ in range(1, self.steps):
                counts += self.boost(self.net(x).unsqueeze(1)).squeeze(1)
            return counts / self.steps

    return PLIFNet()


def images(count=24, side=28):
    """Real pictures of digits, 8 x 8, made larger: float ``[B, 1, side, side]``, and classes."""
    train = digits.load(digits.Config()).train
    x = torch.from_numpy(train.x[:count] / 255.0).float()
    x = functional.interpolate(x, size=(side, side), mode="bilinear")
    return x, torch.from_numpy(train.y[:count]).long()


def recordings(count=24, side=32, steps=5):
    """Counts of events ``[T, B, 2, H, W]`` as pictures move: the change of brightness, by sign."""
    x, y = images(count, side)
    moved = torch.stack([torch.roll(x[:, 0], t, -1) for t in range(steps + 1)])
    change = moved[1:] - moved[:-1]
    counts = [(sign * change.clamp(-1, 1) * 10).clamp(min=0).floor() for sign in (1, -1)]
    return torch.stack(counts, 2), y


PUBLISHED = {
    "csnn_tutorial_6": (csnn_tutorial_6, images, 0),
    "fashion_mnist_csnn": (fashion_mnist_csnn, images, 0),
    "dvs_gesture_net": (dvs_gesture_net, recordings, 1),
    "sew_block_net": (sew_block_net, images, 0),
    "plif_net": (plif_net, images, 0),
}
"""How each is made, its data, and the axis of the batch."""
