/** @file What devices can do at most, as their makers say: what a plan's times rest on. */

/** One device. */
export interface DevicePeaks {
  /** What it is called in full. */
  name: string;
  platform: "gpu" | "tpu";
  /** Bytes of memory. */
  memory: number;
  /** Operations a second in products of matrices, without sparsity, with operands of these types. */
  operations: { bfloat16: number; float32: number };
  /** Bytes a second from and to its memory. */
  bandwidth: number;
  /** Bytes a second that it sends to devices of the same machine. */
  link: number;
  /** So many of them are in one machine; beyond it, what each sends a second is `network`. */
  perMachine: number;
  network: number;
  source: string;
}

const [GB, TB, T] = [1e9, 1e12, 1e12];
/** A machine of eight with a network adapter of 400 or 200 Gbit/s for each, as NVIDIA's own of H100 and of A100. */
const [NDR, HDR] = [50 * GB, 25 * GB];

/**
 * By the names that the command knows; from the makers' own tables, of which each was looked up in November 2026. Where they count
 * both directions of a link (NVLink, PCIe x16 of L4 and L40S, ICI), half of it is here; where they count operations with sparsity
 * (H100, H200, B200, L4), half of them. float32 is what counts there without TF32, which is not used; a TPU takes six products in
 * bfloat16 for one in float32. A TPU's network is its host's or pod's, by chips: 25 Gbit/s (v5e), 50 (v5p) and 100 (v6e).
 */
export const devicePeaks: Readonly<Record<string, DevicePeaks>> = {
  a100: {
    ...{ name: "NVIDIA A100 SXM 80 GB", platform: "gpu", memory: 80 * GB, bandwidth: 2.039 * TB },
    ...{ operations: { bfloat16: 312 * T, float32: 19.5 * T }, link: 300 * GB },
    ...{ perMachine: 8, network: HDR, source: "https://www.nvidia.com/en-us/data-center/a100/" },
  },
  h100: {
    ...{ name: "NVIDIA H100 SXM", platform: "gpu", memory: 80 * GB, bandwidth: 3.35 * TB },
    ...{ operations: { bfloat16: 989 * T, float32: 67 * T }, link: 450 * GB },
    ...{ perMachine: 8, network: NDR, source: "https://www.nvidia.com/en-us/data-center/h100/" },
  },
  h200: {
    ...{ name: "NVIDIA H200 SXM", platform: "gpu", memory: 141 * GB, bandwidth: 4.8 * TB },
    ...{ operations: { bfloat16: 989 * T, float32: 67 * T }, link: 450 * GB },
    ...{ perMachine: 8, network: NDR, source: "https://www.nvidia.com/en-us/data-center/h200/" },
  },
  b200: {
    ...{ name: "NVIDIA B200 (HGX)", platform: "gpu", memory: 180 * GB, bandwidth: 7.7 * TB },
    ...{ operations: { bfloat16: 2250 * T, float32: 75 * T }, link: 900 * GB },
    ...{ perMachine: 8, network: NDR, source: "https://www.nvidia.com/en-us/data-center/hgx/" },
  },
  l4: {
    ...{ name: "NVIDIA L4", platform: "gpu", memory: 24 * GB, bandwidth: 0.3 * TB },
    ...{ operations: { bfloat16: 121 * T, float32: 30.3 * T }, link: 32 * GB },
    ...{ perMachine: 8, network: HDR, source: "https://www.nvidia.com/en-us/data-center/l4/" },
  },
  l40s: {
    ...{ name: "NVIDIA L40S", platform: "gpu", memory: 48 * GB, bandwidth: 0.864 * TB },
    ...{ operations: { bfloat16: 362 * T, float32: 91.6 * T }, link: 32 * GB },
    ...{ perMachine: 8, network: HDR, source: "https://www.nvidia.com/en-us/data-center/l40s/" },
  },
  "tpu-v5e": {
    ...{ name: "Google TPU v5e", platform: "tpu", memory: 16 * GB, bandwidth: 0.819 * TB },
    ...{ operations: { bfloat16: 197 * T, float32: (197 / 6) * T }, link: 200 * GB },
    ...{ perMachine: 256, network: 3.125 * GB, source: "https://docs.cloud.google.com/tpu/docs/v5e" },
  },
  "tpu-v5p": {
    ...{ name: "Google TPU v5p", platform: "tpu", memory: 95 * GB, bandwidth: 2.765 * TB },
    ...{ operations: { bfloat16: 459 * T, float32: (459 / 6) * T }, link: 600 * GB },
    ...{
      perMachine: 8960,
      network: 6.25 * GB,
      source: "https://docs.cloud.google.com/tpu/docs/v5p-training",
    },
  },
  "tpu-v6e": {
    ...{ name: "Google TPU v6e", platform: "tpu", memory: 32 * GB, bandwidth: 1.638 * TB },
    ...{ operations: { bfloat16: 918 * T, float32: (918 / 6) * T }, link: 400 * GB },
    ...{ perMachine: 256, network: 12.5 * GB, source: "https://docs.cloud.google.com/tpu/docs/v6e" },
  },
};

/** The share of a device's memory that there is for arrays: JAX takes some for itself, and some lies in pieces. */
export const USABLE = 0.9;

/** Bytes a second that a device sends to others of its group, where so many devices are `data` groups, and to those of other groups. */
export function exchangeRates(
  { link, network, perMachine }: Pick<DevicePeaks, "link" | "network" | "perMachine">,
  count: number,
  data: number,
): { within: number; outside: number } {
  const over = (devices: number) => (devices > perMachine ? network : link);
  return { within: over(count / data), outside: over(count) };
}
