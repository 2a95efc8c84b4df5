/** @file The keys of `config.json`: what is read, what leaves the numbers alone, and what is refused unless it is off. */

import { z } from "zod";
import { foreignTable } from "../../foreign.ts";

/** One token or several. */
export const tokenIds = z.union([z.int(), z.array(z.int())]).nullish();

/** No tensor has more elements along an axis; what is larger is damage, and is refused before anything is made of it. */
const size = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
const positive = z.number().positive();

const ropeSchema = foreignTable({
  read: {
    rope_type: z.string().nullish(),
    /** The name before transformers 4.45. */
    type: z.string().nullish(),
    rope_theta: positive.nullish(),
    factor: positive.nullish(),
    low_freq_factor: positive.nullish(),
    high_freq_factor: positive.nullish(),
    original_max_position_embeddings: positive.nullish(),
    beta_fast: positive.nullish(),
    beta_slow: positive.nullish(),
    attention_factor: positive.nullish(),
    mscale: z.number().nullish(),
    mscale_all_dim: z.number().nullish(),
    truncate: z.boolean().optional(),
  },
  harmless: ["finetuned"],
  off: { partial_rotary_factor: [1], attn_factor: [1], extrapolation_factor: [1] },
});

/** Of every family: what names, trains, samples or stores a model, and what its other heads are. */
const HARMLESS = [
  // Names and versions.
  ..."architectures _name_or_path name_or_path _commit_hash transformers_version transformers.js_config".split(
    " ",
  ),
  "tokenizer_class unsloth_version unsloth_fixed is_llama_config",
  // Element types and ways to compute the same numbers: here all is float32.
  "dtype torch_dtype use_bfloat16 use_cache pretraining_tp torchscript tf_legacy_loss gradient_checkpointing",
  "_attn_implementation attn_implementation _attn_implementation_autoset use_flash_attn",
  // Training.
  "initializer_range attention_dropout resid_pdrop embd_pdrop attn_pdrop",
  // Special tokens; that at the end is read.
  "bos_token_id pad_token_id unk_token_id sep_token_id cls_token_id mask_token_id",
  "decoder_start_token_id prefix",
  // What is given back beside logits, and heads for other tasks.
  ..."output_attentions output_hidden_states output_past return_dict chunk_size_feed_forward is_decoder".split(
    " ",
  ),
  "id2label label2id num_labels _num_labels problem_type finetuning_task task_specific_params",
  "summary_* n_special predict_special_tokens",
  // Limits of tokenizers and servers; how long a sequence may be is read.
  "max_sequence_length model_max_length n_ctx",
  // Sampling is set where a model is used.
  "max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty",
  "temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size",
  "encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores",
  "return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values",
  "exponential_decay_length_penalty suppress_tokens begin_suppress_tokens",
];

/** What every family has in one form. */
const OFF = {
  is_encoder_decoder: [false],
  add_cross_attention: [false],
  tie_encoder_decoder: [false],
  pruned_heads: [{}],
  partial_rotary_factor: [1],
  rope_interleaved: [false],
  use_mrope: [false],
  use_sliding_window: [false],
};

/** What Llama, Qwen2 and Qwen3 share. */
const llamaKeys = {
  vocab_size: size,
  max_position_embeddings: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  hidden_size: size,
  intermediate_size: size,
  hidden_act: z.enum(["silu", "swish"]).default("silu"),
  rms_norm_eps: z.number().default(1e-6),
  rope_theta: positive.nullish(),
  rope_scaling: ropeSchema.nullish(),
  /** Transformers 5 keeps theta and scaling together. */
  rope_parameters: ropeSchema.nullish(),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  layer_types: z.array(z.literal("full_attention")).nullish(),
  eos_token_id: tokenIds,
};

/** `config.json` of a Llama. */
export const llamaSchema = foreignTable({
  read: { model_type: z.literal("llama"), ...llamaKeys },
  harmless: HARMLESS,
  off: OFF,
});

/** Of a Qwen2 or Qwen3. */
export const qwenSchema = foreignTable({
  // Its MLPs have no biases, whatever is said.
  read: { model_type: z.enum(["qwen2", "qwen3"]), ...llamaKeys, mlp_bias: z.literal(false).default(false) },
  // How wide windows are and where they begin, where there are any.
  harmless: [...HARMLESS, "sliding_window", "max_window_layers"],
  off: OFF,
});

/** Of a GPT-2. */
export const gpt2Schema = foreignTable({
  read: {
    model_type: z.literal("gpt2"),
    vocab_size: size,
    n_positions: size,
    n_layer: size,
    n_head: size,
    n_embd: size,
    n_inner: size.nullish(),
    activation_function: z.enum(["gelu_new", "gelu_pytorch_tanh"]).default("gelu_new"),
    layer_norm_epsilon: z.number().default(1e-5),
    tie_word_embeddings: z.boolean().default(true),
    eos_token_id: tokenIds,
  },
  // The order of the same operations, which matters in float16.
  harmless: [...HARMLESS, "reorder_and_upcast_attn"],
  off: { ...OFF, scale_attn_weights: [true], scale_attn_by_inverse_layer_idx: [false] },
});
