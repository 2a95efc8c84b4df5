"""The measurements of `probeward bench --model` with PyTorch, transformers and PEFT, on as many threads: medians of wall
and processor milliseconds, a line of JSON each.

    pip install torch transformers peft && python bench/pytorch.py [repetitions]

The model has SmolLM2-135M's shape and random weights, in float32: times do not depend on their values.
"""

import json
import os
import resource
import statistics
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

PREFILL, DECODED, PROMPT, ROWS, LENGTH, RANK = 256, 24, 32, 4, 64, 16
torch.set_num_threads(int(os.environ.get("PROBEWARD_THREADS", len(os.sched_getaffinity(0)))))
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, max_position_embeddings=8192, rope_theta=100000.0, tie_word_embeddings=True,
)
model = LlamaForCausalLM(config).eval()
times = int(sys.argv[1]) if len(sys.argv) > 1 else 4


def timed(call):
    call()
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(1000 * (time.perf_counter() - wall))
        cpus.append(1000 * (time.process_time() - cpu))
    return statistics.median(walls), statistics.median(cpus)


def report(name, ms, cpu):
    print(json.dumps({name: {"ms": round(ms, 1), "cpuMs": round(cpu, 1)}}), flush=True)


def generate(rows, length, count):
    """As `createGenerator` does: the prompt is read once, then sampled from at temperature 1, token by token."""
    with torch.inference_mode():
        prompt = torch.randint(0, config.vocab_size, (1, length))
        cache = DynamicCache(config=config)
        logits = model(prompt, past_key_values=cache, logits_to_keep=1).logits[:, -1].expand(rows, -1)
        if rows > 1:
            cache.batch_repeat_interleave(rows)
        for step in range(count):
            token = torch.multinomial(torch.softmax(logits, -1), 1)
            if step < count - 1:
                logits = model(token, past_key_values=cache).logits[:, -1]


def decode(rows):
    long, short = timed(lambda: generate(rows, PROMPT, DECODED)), timed(lambda: generate(rows, PROMPT, 1))
    report(f"decode{rows}", *[(a - b) / (DECODED - 1) for a, b in zip(long, short)])


print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
report("prefill", *timed(lambda: generate(1, PREFILL, 1)))
decode(1)
decode(32)

targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
adapted = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=targets, task_type="CAUSAL_LM"))
adapted.train()
optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-4)
tokens = torch.randint(0, config.vocab_size, (ROWS, LENGTH))


def step():
    optimizer.zero_grad()
    adapted(tokens, labels=tokens).loss.backward()
    torch.nn.utils.clip_grad_norm_(adapted.parameters(), 1.0)
    optimizer.step()


report("loraStep", *timed(step))
print(json.dumps({"peakMemoryMB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}))
