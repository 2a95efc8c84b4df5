"""Has Inspect evaluate an endpoint by its provider for APIs like OpenAI's, and prints what it logged, as JSON."""

import json
import os

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

task = Task(
    dataset=[Sample(input="abcdefgh"[: 1 + i], target="a") for i in range(6)],
    solver=generate(),
    scorer=includes(),
)
[log] = eval(
    task,
    model="openai-api/probeward/tiny",
    display="none",
    log_dir=os.environ["PROBEWARD_LOGS"],
    log_model_api=True,
    max_tokens=12,
    seed=7,
    extra_body={"taps": ["early"]},
)


def answer(sample):
    [event] = [event for event in sample.events if event.event == "model"]
    return event.call.response["choices"][0]


print(
    json.dumps(
        {
            "status": log.status,
            "samples": log.results.completed_samples if log.results else str(log.error),
            "outputs": [
                {
                    "input": sample.input,
                    "completion": sample.output.completion,
                    "logits": answer(sample)["taps"]["early"]["logits"],
                }
                for sample in log.samples or []
            ],
        }
    )
)
