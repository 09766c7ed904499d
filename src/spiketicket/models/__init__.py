"""Networks: one file each, plain ``nn.Conv2d`` and ``nn.Linear`` layers.

Every choice defines ``Config`` (its recipe section) and ``build(config, neuron, shape, kernel)``.
A network takes static images ``[B, C, H, W]`` or frames ``[T, B, C, H, W]`` and returns logits
``[B, classes]``, averaged over time.
"""
