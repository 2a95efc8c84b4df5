// @ts-check
/** @file What a model of your own says, and what it computes while it does: `node activations.js <model> <text>`. */

import { openEngine } from "probeward";

const [path, text] = process.argv.slice(2);
if (path === undefined || text === undefined) throw new Error("give the path of a model, and a text");
const engine = await openEngine(path);
const { model, tokenizer, reference } = engine;

// A model with a chat template is asked as a user asks; any other goes on with the text.
const prompt = tokenizer.chat?.([{ role: "user", content: text }]) ?? tokenizer.encodePrompt(text);

// A temperature of 0 takes the likeliest token.
const [completion] = await reference.sample([prompt], {
  maxTokens: Math.min(32, model.context - prompt.length),
  temperature: 0,
  seed: ["activations"],
});
console.log(tokenizer.decode(completion.tokens));

// The same tokens once more, teacher-forced: the residual stream after each layer at the last token is read, and nothing else.
const hooks = model.hooks.filter((hook) => hook.endsWith("hook_resid_post"));
const [{ reads }] = await reference.forward(
  [{ tokens: [...prompt, ...completion.tokens], promptLength: prompt.length }],
  { reads: hooks.map((hook) => ({ as: "rows", hook, positions: "completion-last" })) },
);
await engine.close();
hooks.forEach((hook, i) => {
  // One row of `model.width` numbers.
  console.log(`${hook}  length at the last token ${Math.hypot(...reads[i]).toFixed(2)}`);
});
