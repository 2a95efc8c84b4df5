/** @file The keys of a dictionary's `cfg.json`: of SAELens 6 (`metadata` apart) and before (all on one level). */

import { z } from "zod";
import { foreignTable } from "../foreign.ts";

/** How TransformerLens was asked to load the model. */
const processing = foreignTable({
  read: { center_writing_weights: z.boolean().nullish() },
  // Logits, and how activations within layers are scaled: the residual stream and what is added to it stay the same.
  harmless: [
    "fold_ln fold_value_biases center_unembed n_ctx n_devices device device_map dtype torch_dtype trust_remote_code local_files_only",
  ],
  off: { refactor_factored_attn_matrices: [false] },
}).nullish();

const read = { hook_name: z.string().nullish(), model_from_pretrained_kwargs: processing };

/** Of single heads, or of what a layer adds as a function of what it reads. */
const off = {
  hook_head_index: [null],
  hook_head_index_out: [null],
  hook_name_out: [null],
  model_kwargs: [{}],
};

const described = [
  // Which model, which tokens; it is for who uses a dictionary to choose the same.
  "model_name model_class_name model_id hook_layer hook_point_layer hf_hook_name neuronpedia_id prepend_bos context_size",
  "seqpos_slice exclude_special_tokens dataset_* is_dataset_tokenized sae_lens_version sae_lens_training_version",
  "use_chat_formatting disable_concat_sequences sequence_separator_token begin_* streaming",
];

export const dictionarySchema = foreignTable({
  read: {
    ...read,
    architecture: z.string().default("standard"),
    d_in: z.int().min(1),
    d_sae: z.int().min(1),
    apply_b_dec_to_input: z.boolean().default(true),
    normalize_activations: z.union([z.string(), z.boolean()]).nullish(),
    reshape_activations: z.string().nullish(),
    /** The name before hook_name. */
    hook_point: z.string().nullish(),
    metadata: foreignTable({ read, harmless: described, off }).nullish(),
    activation_fn: z.string().nullish(),
    activation_fn_str: z.string().nullish(),
    activation_fn_kwargs: foreignTable({ read: { k: z.int().min(1).optional() }, harmless: [] }).nullish(),
    k: z.int().min(1).nullish(),
    rescale_acts_by_decoder_norm: z.boolean().default(false),
  },
  harmless: [
    ...described,
    // All is read as float32.
    "dtype device act_store_device llm_device autocast* compile_*",
    // Training, as versions before 3 kept it here.
    "name run_name seed expansion_factor from_pretrained_path b_dec_init_method normalize_sae_decoder noise_level",
    "lr lr_* l1_* lp_norm* adam_* mse_loss_normalization use_ghost_grads decoder_* init_encoder_as_decoder_transpose",
    "scale_sparsity_penalty_by_decoder_norm jumprelu_* feature_* dead_feature_* resample_batches n_* total_training_*",
    "training_tokens train_batch_size* store_batch_size* tokens_per_buffer use_cached_activations cached_activations_path",
    "finetuning_method finetuning_tokens activations_mixing_fraction log_* wandb_* logger eval_* checkpoint_path",
    "output_path save_final_checkpoint resume* verbose hook_eval llm_compilation_mode sae_compilation_mode",
  ],
  off: { ...off, hook_point_head_index: [null], finetuning_scaling_factor: [false] },
});
