"""A ticket elsewhere: one file per format; each says what it cannot carry.

``c`` needs no PyTorch, the others check themselves against the network.
"""
