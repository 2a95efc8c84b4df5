/** @file One colour and line style for each arm, the same in every figure and on every study. */

/** Drawn with CSS variables (see `style.css`), so that light and dark need no second rendering. */
export interface ArmStyle {
  colour: string;
  /** Lines differ in their dashes too, for print and for those who see few colours. */
  dash: string;
}

/** The arms of the usual study, by the slot of the palette that is theirs. */
const ownSlots: Record<string, number> = {
  none: 0,
  "oracle-penalty": 1,
  "probe-penalty": 2,
  "probe-penalty-frozen": 3,
  "probe-loss": 4,
};

const slots = 8;
const dashes = ["1 0", "2 3", "1 0", "6 3", "1 0", "9 3 2 3", "4 2", "1 0"];

/** Styles by arm. Arms without a slot of their own get the free ones in order, and start again when they run out. */
export function armStyles(arms: readonly string[]): Map<string, ArmStyle> {
  const taken = new Set(arms.flatMap((arm) => ownSlots[arm] ?? []));
  const free = Array.from({ length: slots }, (_, slot) => slot).filter((slot) => !taken.has(slot));
  let next = 0;
  const style = (arm: string): ArmStyle => {
    const slot = ownSlots[arm] ?? free[next++ % free.length] ?? 0;
    return { colour: `var(--arm-${slot})`, dash: dashes[slot]! };
  };
  return new Map(arms.map((arm) => [arm, style(arm)]));
}
