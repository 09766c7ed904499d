"""How fast a ticket runs, beside the frameworks a user has today.

Every contender (a *peer*) computes the same logits of the same images, each in a process of its
own, on the same pinned cores, at the settings that are best for it. The processes take turns, so
that a drifting clock meets all of them, and a ratio is the median of the ratios within a round.
A peer whose logits are not those of the ticket's PyTorch model is not timed.
"""
