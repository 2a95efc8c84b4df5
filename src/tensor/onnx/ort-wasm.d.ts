/** The module of onnxruntime-web, which comes without types. */
declare module "onnxruntime-web/ort-wasm-simd-threaded.mjs" {
  const create: (options: object) => Promise<unknown>;
  export default create;
}
