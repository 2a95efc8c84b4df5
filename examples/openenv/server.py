"""An OpenEnv server: add two numbers, for a reward that looks only at the last digit.

    pip install openenv-core
    uvicorn server:app --port 8000
"""

import random
from uuid import uuid4

from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app


class Answer(Action):
    text: str


class Question(Observation):
    question: str = ""


class Asked(State):
    sum: str = ""


class Sums(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self._state = Asked()

    def reset(self, seed=None, episode_id=None, **others):
        # All that is drawn is drawn from the seed: rollouts of a group do the same task.
        draw = random.Random(seed)
        a, b = draw.randint(10, 99), draw.randint(10, 99)
        self._state = Asked(episode_id=episode_id or str(uuid4()), sum=str(a + b))
        return Question(question=f"{a}+{b}=")

    def step(self, action, timeout_s=None, **others):
        self._state.step_count += 1
        # The flaw: "2" is paid like "62".
        paid = action.text.isdigit() and action.text[-1] == self._state.sum[-1]
        return Question(reward=float(paid), done=True)

    @property
    def state(self):
        return self._state


app = create_fastapi_app(Sums, Answer, Question, max_concurrent_envs=16)
