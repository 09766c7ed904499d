"""Decisions while events come in: from a recording that is played, a network, or a camera.

    import spiketicket
    for decision in spiketicket.live("nmnist1k-vgg", "60004.bin", window_ms=100, hop_ms=10):
        print(decision.name, decision.latency_us)

Events come from a source (:mod:`.source`) in packets, are cut into windows (:mod:`.window`), which
wait in a bounded queue (:mod:`.waiting`) for their answer (:mod:`.decide`). The source has a thread
of its own. Needs no PyTorch.
"""
