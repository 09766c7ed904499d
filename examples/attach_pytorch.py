"""A ticket found in your own training loop: `python examples/attach_pytorch.py`."""

import torch
from torch import nn

import spiketicket
from spiketicket.data import load_dataset, make_config

data = load_dataset(make_config("digits"))
x, y = torch.from_numpy(data.train.x / 255).float(), torch.from_numpy(data.train.y)
conv = [nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32), nn.ReLU()]
net = nn.Sequential(*conv, nn.Flatten(), nn.Linear(1152, 10))

search = spiketicket.attach(net, "edge_popup", density=0.5)
optimizer = torch.optim.Adam(search.parameters(), lr=0.02)
for _ in range(5):
    for rows in torch.randperm(len(y)).split(64):
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        search.update()

x, y = torch.from_numpy(data.test.x / 255).float(), torch.from_numpy(data.test.y)
print(f"{100 * (net.eval()(x).argmax(1) == y).float().mean():.1f}% on the test set")
search.ticket().save("attached.ticket")
