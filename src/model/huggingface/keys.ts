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
/** No model has more layers, and lists are made of them. */
const layers = size.max(2 ** 16);
const positive = z.number().positive();

const ropeKeys = {
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
};
const ropeOff = { attn_factor: [1], extrapolation_factor: [1] };

const ropeSchema = foreignTable({
  read: ropeKeys,
  harmless: ["finetuned"],
  off: { ...ropeOff, partial_rotary_factor: [1] },
});

/** The share of a head's dimensions that is turned. */
const share = z.number().positive().max(1);

/** Where a part of each head may be turned. */
const partialRopeSchema = foreignTable({
  read: {
    ...ropeKeys,
    partial_rotary_factor: share.nullish(),
    short_factor: z.array(positive).nullish(),
  },
  // Of sequences beyond the original context, which there are none of here.
  harmless: ["finetuned long_factor"],
  off: ropeOff,
});

export type RopeJson = z.infer<typeof partialRopeSchema>;

/** One for each type of layers. */
const ropeByType = foreignTable({
  read: { full_attention: ropeSchema.nullish(), sliding_attention: ropeSchema.nullish() },
  harmless: [],
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
  rope_interleaved: [false],
  use_mrope: [false],
  use_sliding_window: [false],
};
/** Of those that turn whole heads. */
const WHOLE_HEADS = { ...OFF, partial_rotary_factor: [1] };

/** What families with Llama's keys share, with Llama's defaults. */
const llamaKeys = {
  vocab_size: size,
  max_position_embeddings: size,
  num_hidden_layers: layers,
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
  eos_token_id: tokenIds,
};

const everyLayerFull = z.array(z.literal("full_attention")).nullish();
const layerTypes = z.array(z.enum(["full_attention", "sliding_attention"])).nullish();

/** `config.json` of a Llama. */
export const llamaSchema = foreignTable({
  read: {
    model_type: z.literal("llama"),
    ...llamaKeys,
    mlp_bias: z.boolean().default(false),
    layer_types: everyLayerFull,
  },
  harmless: HARMLESS,
  off: WHOLE_HEADS,
});

/** Of a Mistral: all layers have a window, where there is one. */
export const mistralSchema = foreignTable({
  read: {
    ...{ model_type: z.literal("mistral"), ...llamaKeys },
    num_key_value_heads: size.nullable().default(8),
    sliding_window: size.nullable().default(4096),
    attention_bias: z.literal(false).default(false),
  },
  harmless: HARMLESS,
  off: { ...WHOLE_HEADS, mlp_bias: [false] },
});

/** Of a Qwen2 or Qwen3: layers from `max_window_layers` on have a window, where windows are on. */
export const qwenSchema = foreignTable({
  read: {
    ...{ model_type: z.enum(["qwen2", "qwen3"]), ...llamaKeys },
    num_key_value_heads: size.nullable().default(32),
    use_sliding_window: z.boolean().nullish(),
    sliding_window: size.nullable().default(4096),
    max_window_layers: z.int().min(0).nullish(),
    layer_types: layerTypes,
  },
  // Its MLPs have no biases, whatever is said.
  harmless: HARMLESS,
  off: { ...WHOLE_HEADS, mlp_bias: [false] },
});

/** Of a Qwen3 with experts in every layer. */
export const qwen3MoeSchema = foreignTable({
  read: {
    ...{ model_type: z.literal("qwen3_moe"), ...llamaKeys },
    num_key_value_heads: size.nullable().default(4),
    num_experts: size.nullish(),
    /** The name since transformers 5. */
    num_local_experts: size.nullish(),
    num_experts_per_tok: size.default(8),
    moe_intermediate_size: size.default(768),
    norm_topk_prob: z.boolean().default(false),
    decoder_sparse_step: z.literal(1).default(1),
    mlp_only_layers: z.array(z.never()).nullish(),
  },
  // The first is of MLPs without experts, the others of training and of what is given back.
  harmless: [...HARMLESS, "max_window_layers sliding_window router_aux_loss_coef output_router_logits"],
  off: { ...WHOLE_HEADS, mlp_bias: [false] },
});

/** Of an OLMo 2. */
export const olmo2Schema = foreignTable({
  read: {
    ...{ model_type: z.literal("olmo2"), ...llamaKeys },
    rms_norm_eps: z.number().default(1e-5),
    layer_types: everyLayerFull,
  },
  harmless: HARMLESS,
  off: { ...WHOLE_HEADS, mlp_bias: [false] },
});

/** The code beside Phi-3's first files, which transformers has had as its own since. */
const PHI3_CODE = {
  AutoConfig: "configuration_phi3.Phi3Config",
  AutoModelForCausalLM: "modeling_phi3.Phi3ForCausalLM",
};

/** Of a Phi-3: heads may be turned in part, and all layers have a window, where there is one. */
export const phi3Schema = foreignTable({
  read: {
    ...{ model_type: z.literal("phi3"), ...llamaKeys },
    rms_norm_eps: z.number().default(1e-5),
    rope_scaling: partialRopeSchema.nullish(),
    rope_parameters: partialRopeSchema.nullish(),
    partial_rotary_factor: share.nullish(),
    original_max_position_embeddings: size.nullish(),
    sliding_window: size.nullish(),
    attention_bias: z.literal(false).default(false),
  },
  harmless: HARMLESS,
  off: { ...OFF, mlp_bias: [false], auto_map: [PHI3_CODE] },
});

/** What Gemma 2 and 3 share, with their defaults. */
const gemmaKeys = {
  ...llamaKeys,
  num_key_value_heads: size.nullable().default(4),
  head_dim: size.default(256),
  hidden_activation: z.literal("gelu_pytorch_tanh").default("gelu_pytorch_tanh"),
  /** The older name, which counts for nothing. */
  hidden_act: z.string().nullish(),
  tie_word_embeddings: z.boolean().default(true),
  query_pre_attn_scalar: positive.default(256),
  sliding_window: size.nullable().default(4096),
  layer_types: layerTypes,
};
const gemmaOff = { ...WHOLE_HEADS, mlp_bias: [false], use_bidirectional_attention: [false] };

/** Of a Gemma 2. */
export const gemma2Schema = foreignTable({
  read: {
    ...{ model_type: z.literal("gemma2"), ...gemmaKeys },
    final_logit_softcapping: positive.nullable().default(30),
    attn_logit_softcapping: positive.nullable().default(50),
  },
  harmless: [...HARMLESS, "cache_implementation"],
  off: gemmaOff,
});

/** Of the text model of a Gemma 3: layers with a window turn in a way of their own. */
export const gemma3Schema = foreignTable({
  read: {
    ...{ model_type: z.literal("gemma3_text"), ...gemmaKeys },
    rope_parameters: ropeByType.nullish(),
    rope_local_base_freq: positive.default(10_000),
    /** Which layers have none: every n-th. */
    sliding_window_pattern: z.int().min(1).default(6),
    final_logit_softcapping: positive.nullish(),
  },
  harmless: [...HARMLESS, "cache_implementation _sliding_window_pattern"],
  off: gemmaOff,
});

/** Of a GPT-NeoX, as the Pythias are. */
export const neoxSchema = foreignTable({
  read: {
    model_type: z.literal("gpt_neox"),
    vocab_size: size,
    max_position_embeddings: size,
    num_hidden_layers: layers,
    num_attention_heads: size,
    hidden_size: size,
    intermediate_size: size,
    hidden_act: z.enum(["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast"]).default("gelu"),
    layer_norm_eps: z.number().default(1e-5),
    use_parallel_residual: z.boolean().default(true),
    attention_bias: z.boolean().default(true),
    rotary_pct: share.default(0.25),
    rotary_emb_base: positive.default(10_000),
    rope_theta: positive.nullish(),
    partial_rotary_factor: share.nullish(),
    rope_scaling: partialRopeSchema.nullish(),
    rope_parameters: partialRopeSchema.nullish(),
    tie_word_embeddings: z.boolean().default(false),
    eos_token_id: tokenIds,
  },
  harmless: [...HARMLESS, "hidden_dropout classifier_dropout"],
  off: OFF,
});

/** Of a GPT-2. */
export const gpt2Schema = foreignTable({
  read: {
    model_type: z.literal("gpt2"),
    vocab_size: size,
    n_positions: size,
    n_layer: layers,
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
  off: { ...WHOLE_HEADS, scale_attn_weights: [true], scale_attn_by_inverse_layer_idx: [false] },
});
