"""Asks an endpoint by OpenAI's own client, and prints what it was told, as JSON."""

import json

import openai

client = openai.OpenAI()
[model] = client.models.list().data
asked = {
    "model": model.id,
    "messages": [{"role": "user", "content": "abc"}],
    "seed": 7,
    "max_tokens": 40,
    "logprobs": True,
    "extra_body": {"taps": ["early"], "return_token_ids": True},
}
[choice] = client.chat.completions.create(**asked).choices
whole = {"text": choice.message.content, "token_ids": choice.token_ids, "logits": choice.taps["early"]["logits"]}
assert len(choice.logprobs.content) == len(choice.token_ids)

streamed = {"text": "", "token_ids": [], "logits": []}
for chunk in client.chat.completions.create(**asked, stream=True):
    for choice in chunk.choices:
        streamed["text"] += choice.delta.content
        streamed["token_ids"] += getattr(choice, "token_ids", [])
        streamed["logits"] += getattr(choice, "taps", {"early": {"logits": []}})["early"]["logits"]


def refusal(client, **changed):
    try:
        client.chat.completions.create(**{**asked, **changed})
    except openai.APIStatusError as error:
        return {"kind": type(error).__name__, "code": error.code}


print(
    json.dumps(
        {
            "models": [model.id],
            "whole": whole,
            "streamed": streamed,
            "refused": refusal(client, model="another"),
            "wrongKey": refusal(openai.OpenAI(api_key="another")),
        }
    )
)
