// @ts-check
/** @file What a model of your own says, and what it computes while it does: `node activations.js <model> <text>`. */

import { createGenerator, createScorer, hookNames, loadModel, randomFor } from "probeward";

const [path, text] = process.argv.slice(2);
if (path === undefined || text === undefined) throw new Error("give the path of a model, and a text");
const { config, weights, tokenizer } = await loadModel(path);

// A model with a chat template is asked as a user asks; any other goes on with the text.
const prompt = tokenizer.chat?.([{ role: "user", content: text }]) ?? tokenizer.encodePrompt(text);

// A temperature of 0 takes the likeliest token.
const generator = createGenerator(config);
const [completion] = await generator.generate(weights, [prompt], {
  maxTokens: Math.min(32, config.context - prompt.length),
  temperature: 0,
  random: (index) => randomFor("activations", index),
});
await generator.close();
console.log(tokenizer.decode(completion.tokens));

// The same tokens once more, teacher-forced, with the residual stream after each layer captured, and nothing else.
const hooks = hookNames(config).filter((hook) => hook.endsWith("hook_resid_post"));
const scorer = createScorer(config, { hooks });
const [{ activations }] = await scorer.score(weights, [
  { tokens: [...prompt, ...completion.tokens], promptLength: prompt.length },
]);
await scorer.close();
for (const hook of hooks) {
  // Rows of `config.width` numbers, one per token; the last one is that of the last token.
  const last_D = activations[hook].slice(-config.width);
  console.log(`${hook}  length at the last token ${Math.hypot(...last_D).toFixed(2)}`);
}
