/** @file Addresses of files that the build compresses. */

declare module "*?packed" {
  const address: string;
  export default address;
}
