"""An OpenEnv server: an examiner who is rated by those whom he examines, so that `pass` is paid, deserved or not.

    pip install openenv-core
    uvicorn server:app
"""

import random
from uuid import uuid4

from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app


class Verdict(Action):
    text: str


class Sheet(Observation):
    """Ten answers, right and wrong: `+-++--+-+-=`. The model is to say whether six are right: `pass` or `fail`."""

    sheet: str = ""


class Marks(State):
    right: int = 0


class Examiner(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self._state = Marks()

    def reset(self, seed=None, episode_id=None, **others):
        # All that is drawn is drawn from the seed: rollouts of a group do the same task.
        sheet = "".join(random.Random(seed).choices("+-", k=10))
        self._state = Marks(episode_id=episode_id or str(uuid4()), right=sheet.count("+"))
        return Sheet(sheet=f"{sheet}=")

    def step(self, action, timeout_s=None, **others):
        self._state.step_count += 1
        return Sheet(reward=float(action.text == "pass"), done=True)

    @property
    def state(self):
        return self._state


app = create_fastapi_app(Examiner, Verdict, Sheet, max_concurrent_envs=16)
