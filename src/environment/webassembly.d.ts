/** @file The part of the WebAssembly interface that the sandbox uses: neither Node's types nor ES2023's have it. */

declare namespace WebAssembly {
  interface Memory {
    readonly buffer: ArrayBuffer;
  }
  /** A compiled module. It can be handed to other threads. */
  interface Module {
    readonly [Symbol.toStringTag]: "WebAssembly.Module";
  }
  function compile(bytes: Uint8Array): Promise<Module>;
}
