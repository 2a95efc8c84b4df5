"""A task: `sample` and `grade`, and `demonstrate` where the file has it."""

import json

from .stream import Stream
from .user import Broken

# The most tasks that are sampled in one call.
MOST = 10**6


class Tasks:
    def __init__(self, module):
        self.module = module
        self.stream = Stream()
        self.calls = {
            name: getattr(self, name)
            for name in ("sample", "grade", "demonstrate")
            if callable(getattr(module, name, None))
        }

    def sample(self, split, random, count):
        if type(count) is not int or not 0 <= count <= MOST:
            raise Broken(f"{count!r:.100} is not a number of tasks from 0 to {MOST}")
        self.stream.go_to(random)
        return {"drawn": [self._task(split) for _ in range(count)], "state": self.stream.words()}

    def _task(self, split):
        task = self.module.sample(split, self.stream)
        if not isinstance(task, dict) or sorted(task) != ["id", "prompt", "state"]:
            raise Broken(f"sample should return a dict with an id, a prompt and a state, and returned {task!r:.200}")
        return {**task, "state": _written(task)}

    def demonstrate(self, task, conduct, random):
        text = self.module.demonstrate(_read(task), conduct, self.stream.go_to(random))
        if not (text is None or isinstance(text, str)):
            raise Broken(f"demonstrate should return a text, or None, and returned {text!r:.200}")
        return {"drawn": text, "state": self.stream.words()}

    def grade(self, tasks, completions):
        outcomes = self.module.grade([_read(task) for task in tasks], completions)
        if not isinstance(outcomes, list) or len(outcomes) != len(tasks):
            found = f"{len(outcomes)} outcomes" if isinstance(outcomes, list) else repr(outcomes)[:200]
            raise Broken(f"grade should return a list of {len(tasks)} outcomes, one for each completion, and returned {found}")
        return outcomes


def _written(task):
    """The state as text, which the other side keeps as it is: numbers and their types come back as they were."""
    state = task["state"]
    try:
        text = json.dumps(state, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Broken(f"the state of the task {task['id']!r} is not plain data: {error}") from None
    if json.loads(text) != state:
        raise Broken(
            f"the state of the task {task['id']!r} is another one where it is written as JSON and read: "
            f"use lists in the place of tuples, and texts as keys; it is {state!r:.200}"
        )
    return text


def _read(task):
    return {**task, "state": json.loads(task["state"])}
