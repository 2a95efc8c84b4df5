"""Prints what Inspect AI's own reader finds in a folder of logs, as JSON: a list of logs with their samples."""

import json
import sys

from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample_summaries

logs = []
for info in list_eval_logs(sys.argv[1], recursive=False):
    log = read_eval_log(info)
    logs.append(
        {
            "status": log.status,
            "task": log.eval.task,
            "model": log.eval.model,
            "means": {score.name: score.metrics["mean"].value for score in log.results.scores},
            "summaries": len(read_eval_log_sample_summaries(info)),
            "samples": [
                {
                    "id": sample.id,
                    "input": sample.input,
                    "completion": sample.output.completion,
                    "messages": len(sample.messages),
                    "scores": {name: score.value for name, score in sample.scores.items()},
                    "step": sample.metadata["step"],
                    "stop": sample.output.stop_reason,
                }
                for sample in log.samples
            ],
        }
    )
json.dump(logs, sys.stdout)
