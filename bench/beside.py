"""The other side of `bench/beside.mjs`: the same work by TRL or by PyTorch alone, in a process of its own that is asked for one
measure after the other. Each line read is the name of a measure; each line written is what it took.

    python bench/beside.py torch <model>              prefill, decode1, decode32, lora
    python bench/beside.py trl <model> <work.json>    step: one of GRPO, on the prompts and settings of the file

The model is a GGUF file, or {"layers": .., ...}: a Llama of that shape with random weights, that reads characters.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    TrainerCallback,
)

PREFILL, DECODED, PROMPT, ROWS, LENGTH = 256, 24, 32, 4, 64
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
torch.set_num_threads(int(os.environ["PROBEWARD_THREADS"]))
torch.manual_seed(0)
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is no answer


def answer(line):
    print(json.dumps(line), file=out, flush=True)


def asked():
    return sys.stdin.readline().strip()


class Clock:
    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def tell(self):
        answer({"ms": 1000 * (time.perf_counter() - self.wall), "cpuMs": 1000 * (time.process_time() - self.cpu)})


def load(name, folder):
    if not name.startswith("{"):
        at = {"pretrained_model_name_or_path": str(Path(name).parent), "gguf_file": Path(name).name}
        loaded = AutoModelForCausalLM.from_pretrained(**at, dtype=torch.float32)
        # What was widened is no longer quantized, and may be trained.
        config = loaded.config
        del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.load_state_dict(loaded.state_dict())
        return model, AutoTokenizer.from_pretrained(**at)
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    shape = json.loads(name)
    vocabulary = {token: i for i, token in enumerate(["<end>", *shape["alphabet"]])}
    characters = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=characters, eos_token="<end>", pad_token="<end>")
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=shape["width"], intermediate_size=shape["hidden"],
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"], num_key_value_heads=shape["heads"],
        max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=None, eos_token_id=0, pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)  # TRL loads the reference from where its model came from
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32), tokenizer


def lora(rank):
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS, task_type="CAUSAL_LM")


def plain(model):
    """As `createGenerator` and `bench --model` do it: the prompt is read once, then sampled from at temperature 1."""
    vocabulary = model.config.vocab_size

    def generate(rows, length, count):
        with torch.inference_mode():
            prompt = torch.randint(0, vocabulary, (1, length))
            cache = DynamicCache(config=model.config)
            logits = model(prompt, past_key_values=cache, logits_to_keep=1).logits[:, -1].expand(rows, -1)
            if rows > 1:
                cache.batch_repeat_interleave(rows)
            for step in range(count):
                token = torch.multinomial(torch.softmax(logits, -1), 1)
                if step < count - 1:
                    logits = model(token, past_key_values=cache).logits[:, -1]

    model.eval()
    adapted = optimizer = None

    def train():
        nonlocal adapted, optimizer
        if adapted is None:
            adapted = get_peft_model(model, lora(16)).train()
            optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-4)
        tokens = torch.randint(0, vocabulary, (ROWS, LENGTH))
        optimizer.zero_grad()
        adapted(tokens, labels=tokens).loss.backward()
        torch.nn.utils.clip_grad_norm_(adapted.parameters(), 1.0)
        optimizer.step()

    measures = {
        "prefill": lambda: generate(1, PREFILL, 1),
        "decode1": lambda: generate(1, PROMPT, DECODED),
        "decode32": lambda: generate(32, PROMPT, DECODED),
        "first1": lambda: generate(1, PROMPT, 1),
        "first32": lambda: generate(32, PROMPT, 1),
        "lora": train,
    }
    while name := asked():
        clock = Clock()
        measures[name]()
        clock.tell()


class OnDemand(TrainerCallback):
    """A step begins when it is asked for."""

    def on_step_begin(self, args, state, control, **_):
        if not asked():
            os._exit(0)
        self.clock = Clock()

    def on_step_end(self, args, state, control, **_):
        self.clock.tell()


def grpo(model, tokenizer, work):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    completions = len(work["prompts"]) * work["rollouts"]
    micro = min(completions, work["microBatch"])
    config = GRPOConfig(
        output_dir=work["folder"], use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
        save_strategy="no", logging_strategy="no", disable_tqdm=True, max_steps=1000, learning_rate=work["learningRate"],
        per_device_train_batch_size=micro, gradient_accumulation_steps=completions // micro,
        num_generations=work["rollouts"], max_completion_length=work["newTokens"], temperature=1.0, beta=work["kl"],
        generation_kwargs={"eos_token_id": None}, shuffle_dataset=False,
    )
    counted = [len(tokenizer(prompt)["input_ids"]) for prompt in work["prompts"]]
    trainer = GRPOTrainer(
        model=model, processing_class=tokenizer, args=config, callbacks=[OnDemand()],
        reward_funcs=lambda completions, **_: [hash(text) % 1000 / 1000 for text in completions],
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in work["prompts"]]),
        peft_config=lora(work["rank"]) if work["rank"] else None,
    )
    trainer.eos_token_ids = [-1]  # no token ends a completion
    answer({"promptTokens": counted})
    trainer.train()


what, name, *rest = sys.argv[1:]
model, tokenizer = load(name, Path(rest[0]).parent if rest else None)
if what == "torch":
    answer({"torch": torch.__version__, "parameters": sum(p.numel() for p in model.parameters())})
    plain(model)
else:
    import trl

    answer({"trl": trl.__version__, "torch": torch.__version__, "parameters": sum(p.numel() for p in model.parameters())})
    grpo(model, tokenizer, json.loads(Path(rest[0]).read_text()))
