/** @file What a study can be computed with here. */

/** Name of the thread that computes on the GPU. */
export const ON_GPU = "study on the GPU";

/** Whether the browser has a GPU for this page, and lets WebAssembly wait for it. */
export async function hasGpu(): Promise<boolean> {
  if (!("Suspending" in WebAssembly)) return false;
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter);
}
