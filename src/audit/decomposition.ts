/** @file Why a probe's mean score changed: because the texts did, or because the model that reads them did. */

/** Mean probe score of the texts of the starting (`old`) and the trained (`new`) policy, read on either model. */
export interface ScoreTable {
  oldTextOldModel: number;
  newTextOldModel: number;
  oldTextNewModel: number;
  newTextNewModel: number;
}

export interface Decomposition {
  /** Change of the mean score, new text on the new model minus old text on the old one. Equals `text` + `model`. */
  total: number;
  /** Share of the change that other texts make (behaviour, or evasion in the text). */
  text: number;
  /** Share of the change that another reader of the same texts makes (the representation moved). */
  model: number;
  /** How much more the text changes the score on the new model than on the old one; split evenly between the shares. */
  interaction: number;
}

/**
 * Splits the change of a mean probe score into text and model, each averaged over both orders of changing one and then
 * the other (the Shapley value for two players), so that the answer does not depend on which is said to change first.
 * The Obfuscation Atlas' equation 3 is the one-sided version, which reads old texts on the old model only.
 */
export function decompose(scores: ScoreTable): Decomposition {
  const { oldTextOldModel, newTextOldModel, oldTextNewModel, newTextNewModel } = scores;
  return {
    total: newTextNewModel - oldTextOldModel,
    text: (newTextOldModel - oldTextOldModel + newTextNewModel - oldTextNewModel) / 2,
    model: (oldTextNewModel - oldTextOldModel + newTextNewModel - newTextOldModel) / 2,
    interaction: newTextNewModel - newTextOldModel - oldTextNewModel + oldTextOldModel,
  };
}
