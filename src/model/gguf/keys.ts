/** @file The keys of a GGUF file: what is read, what leaves the numbers alone, and what is refused unless it is off. */

import { z } from "zod";
import { foreignTable } from "../../foreign.ts";

export const size = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
export const positive = z.number().positive();

/** Keys of the file, whatever its architecture; those of its tokenizer are read with it. */
export const fileSchema = foreignTable({
  read: {},
  // The second line is the library's count; what follows says who quantized a file and on what.
  harmless: [
    "general.*",
    "version tensor_count kv_count",
    "quantize.* imatrix.* mradermacher.*",
    "split.no split.tensors.count",
  ],
  off: { "general.type": ["model"], "general.quantization_version": [2], "split.count": [0, 1] },
});

/** Keys of all architectures, without the name before them; as llama.cpp reads them. */
const common = {
  block_count: size,
  context_length: size,
  embedding_length: size,
  feed_forward_length: size,
  "attention.head_count": size,
  "attention.head_count_kv": size.optional(),
  "attention.key_length": size.optional(),
  "attention.value_length": size.optional(),
  "attention.layer_norm_rms_epsilon": positive.optional(),
  "rope.dimension_count": size.optional(),
  "rope.freq_base": positive.default(10000),
  "rope.scaling.type": z.enum(["none", "linear", "yarn"]).default("linear"),
  "rope.scaling.factor": z.number().min(0).optional(),
  /** The name before rope.scaling.factor. */
  "rope.scale_linear": z.number().min(0).optional(),
  "rope.scaling.original_context_length": size.optional(),
  "rope.scaling.yarn_beta_fast": positive.optional(),
  "rope.scaling.yarn_beta_slow": positive.optional(),
};

/** What those say. */
export type ArchitectureKeys = z.infer<z.ZodObject<typeof common>>;

/** The keys of an architecture: all have those above, and it alone some others. */
export function architectureSchema<Own extends z.ZodRawShape>(own: Own) {
  return foreignTable({
    read: { ...common, ...own },
    // The embedding says how many tokens there are; how embeddings of texts are pooled is no matter of logits.
    harmless: ["vocab_size pooling_type attention.layer_norm_epsilon rope.scaling.finetuned"],
    off: {
      tensor_data_layout: ["Meta AI original pth"],
      use_parallel_residual: [false],
      expert_count: [0],
      expert_used_count: [0],
      nextn_predict_layers: [0],
      logit_scale: [0, 1],
      residual_scale: [0, 1],
      embedding_scale: [0, 1],
      attn_logit_softcapping: [0],
      final_logit_softcapping: [0],
      "attention.causal": [true],
      "attention.sliding_window": [0],
      "attention.clamp_kqv": [0],
      "attention.max_alibi_bias": [0],
      "attention.scale": [0],
      "rope.scaling.attn_factor": [1],
      "rope.scaling.yarn_ext_factor": [-1],
      "rope.scaling.yarn_attn_factor": [1],
      "rope.scaling.yarn_log_multiplier": [0],
    },
  });
}
