"""A reward in Python that reads activations: pays for staying near what the model computed at the start."""

probeward = {
    "weight": -0.01,
    "taps": {
        "now": {"model": "policy", "hook": "blocks.2.hook_resid_post", "positions": "completion"},
        "start": {"model": "reference", "hook": "blocks.2.hook_resid_post", "positions": "completion"},
    },
}


def reward(now, start, log_metric, **kwargs):
    """The mean squared distance over a completion's positions; `now` and `start` are lists of arrays [positions, width]."""
    distances = [float(((a - b) ** 2).sum(axis=1).mean()) for a, b in zip(now, start)]
    log_metric("largest", max(distances))
    return distances
