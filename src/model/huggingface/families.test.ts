/** @file `config.json` of each family: older forms mean the same, and what is not known is refused by its name. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readDecoderConfig } from "./config.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/checkpoints/", import.meta.url));
const stored = async (name: string) => JSON.parse(await readFile(`${fixtures}${name}/config.json`, "utf8"));
const read = (json: object) => readDecoderConfig(json, null, "config.json");

it.each([
  [
    "gemma3",
    {
      rope_parameters: undefined,
      ...{ rope_theta: 500, rope_local_base_freq: 100, rope_scaling: { rope_type: "linear", factor: 2 } },
      ...{ layer_types: undefined, sliding_window_pattern: 2, cache_implementation: "hybrid" },
    },
  ],
  [
    "gemma2",
    { layer_types: undefined, hidden_act: "gelu_pytorch_tanh", rope_parameters: undefined, rope_theta: 1e4 },
  ],
  ["mistral", { rope_parameters: undefined, rope_theta: 1e4, rope_scaling: null }],
  ["pythia", { rope_parameters: undefined, rotary_pct: 0.5, rotary_emb_base: 100 }],
  ["pythia", { rotary_pct: 0.5, rotary_emb_base: 100, rope_theta: 100, partial_rotary_factor: 0.5 }],
  [
    "phi3-longrope",
    {
      ...{ rope_parameters: undefined, rope_theta: 500 },
      rope_scaling: { type: "su", short_factor: [1, 1.5], long_factor: [2, 3] },
      auto_map: {
        AutoConfig: "configuration_phi3.Phi3Config",
        AutoModelForCausalLM: "modeling_phi3.Phi3ForCausalLM",
      },
    },
  ],
  ["qwen2-window", { layer_types: undefined }],
])("%s means the same as transformers 4 wrote it", async (name, change) => {
  const json = await stored(name);
  const config = read({ ...json, ...change });
  // The pattern is another than that of the fixture's list.
  const sliding = name === "gemma3" ? { ...read(json).sliding!, layers: [0, 2] } : read(json).sliding;
  expect(config).toEqual({ ...read(json), ...(sliding && { sliding }) });
});

it("takes defaults of the families' classes where keys are missing", async () => {
  const without = async (name: string, ...keys: string[]) => {
    const json = await stored(name);
    for (const key of keys) delete json[key];
    return read(json);
  };
  expect((await without("mistral", "sliding_window")).sliding?.window).toBe(4096);
  expect((await without("gemma2", "attn_logit_softcapping", "final_logit_softcapping")).caps).toEqual({
    attention: 50,
    logits: 30,
  });
  expect((await without("gemma2", "query_pre_attn_scalar")).attentionScale).toBe(1 / 16);
  expect((await without("pythia", "rope_parameters")).rotary!.frequencies).toHaveLength(1);
  expect(read({ ...(await stored("mistral")), sliding_window: null }).sliding).toBeUndefined();
  expect(read({ ...(await stored("phi3-longrope")) }).context).toBe(32);
});

describe("is refused by name", () => {
  it.each([
    ["gemma2", { use_bidirectional_attention: true }, /use_bidirectional_attention is true/],
    ["gemma2", { hidden_activation: "gelu" }, /hidden_activation/],
    ["gemma2", { query_pre_attn_scalar: 0 }, /query_pre_attn_scalar/],
    ["gemma3", { attn_logit_softcapping: 50 }, /attn_logit_softcapping \(50\) is not known here/],
    ["gemma3", { model_type: "gemma3" }, /model_type "gemma3"\) is not supported/],
    [
      "gemma3",
      { rope_parameters: { rope_type: "default", rope_theta: 1e4 } },
      /rope_type .* is not known here/,
    ],
    ["gemma3", { layer_types: ["full_attention"] }, /layer_types lists 1 layers, and num_hidden_layers is 3/],
    ["mistral", { attention_bias: true }, /attention_bias/],
    ["mistral", { layer_types: ["full_attention", "full_attention"] }, /layer_types .* is not known here/],
    ["olmo2", { clip_qkv: 8 }, /clip_qkv \(8\) is not known here/],
    ["phi3", { partial_rotary_factor: 1.5 }, /partial_rotary_factor/],
    [
      "phi3",
      { auto_map: { AutoConfig: "x.Y" } },
      /auto_map is \{"AutoConfig":"x.Y"\}, which is not supported/,
    ],
    [
      "phi3-longrope",
      { rope_parameters: { rope_type: "longrope", short_factor: [1] } },
      /lacks a short_factor of 2/,
    ],
    ["pythia", { rotary_emb_base: 100, rope_theta: 50 }, /rotary_emb_base and rope_theta, .* differ/],
    ["pythia", { hidden_act: "relu" }, /hidden_act/],
  ])("%s with %j", async (name, change, message) => {
    const json = await stored(name);
    expect(() => read({ ...json, ...change })).toThrow(message);
  });
});
