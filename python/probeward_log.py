"""Hands a run's metrics to Weights & Biases or trackio, by their own client: `probeward study --log` starts this, one process a run.

Standard input has JSON, a line each: first {"project", "name", "config"}, then the run's metrics, a line a step, until it ends. Where
it ends, the client sends what is left. A measure that is not defined (null) is left out.
"""

import importlib
import json
import sys


def main(client, lines):
    about = json.loads(next(lines))
    client.init(project=about["project"], name=about["name"], config=about["config"])
    for line in lines:
        metrics = json.loads(line)
        step = metrics.pop("step")
        client.log({name: value for name, value in metrics.items() if value is not None}, step=step)
    client.finish()


if __name__ == "__main__":
    # What a client prints is for people, and not for whoever started this.
    name, *check = sys.argv[1:]
    if name not in ("wandb", "trackio"):
        sys.exit(f"{name} is neither wandb nor trackio")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        sys.exit(f"it has no {name} ({error})")
    if not check:
        main(module, iter(sys.stdin))
