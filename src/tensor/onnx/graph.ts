/** @file An ONNX graph under construction: operators by name, equal ones shared, printable as text. */

import type { ProgramType } from "../program.ts";
import { sizeOf } from "../types.ts";

/** What ONNX needs beside the types of programs: its shapes and axes are int64; and how narrow matrices are fed and read. */
export type ElementType = ProgramType | "int64" | "bfloat16" | "uint16" | "int8";
/** ONNX's numbers for element types. */
export const elementCodes: Record<ElementType, number> = {
  float32: 1,
  int8: 3,
  uint16: 4,
  int32: 6,
  int64: 7,
  bool: 9,
  uint32: 12,
  bfloat16: 16,
};

export type Attribute = number | string | number[];

/** A dense tensor in the graph. */
export interface Value {
  name: string;
  shape: readonly number[];
  dtype: ElementType;
}

export interface Node {
  op: string;
  domain: "" | "com.microsoft";
  inputs: string[];
  output: Value;
  attributes: Record<string, Attribute>;
}

export interface GraphConstant extends Value {
  data: Float32Array | Int32Array | BigInt64Array | Uint8Array | Uint32Array;
}

/** What a program is fed: one of its inputs, under its own shape or another one. */
export interface GraphInput extends Value {
  /** Which of the program's inputs. */
  index: number;
  /** Not its numbers, but what each of its rows is scaled by. */
  isScales?: boolean;
}

/** Operators outside ONNX's own domain. */
const MICROSOFT_OPS = new Set(["FusedMatMul"]);

/** Operators that widen what is kept narrow. */
const WIDENING_OPS = new Set(["BitCast", "Cast", "DequantizeLinear"]);

/** Operators whose two inputs may be exchanged: one order of them stands for both. */
const COMMUTATIVE_OPS = new Set(["Add", "Mul", "Min", "Max", "And", "Or"]);

/** Builds a graph in which equal operators on equal inputs, and equal constants, exist once. */
export class Graph {
  readonly inputs: GraphInput[] = [];
  readonly outputs: Value[] = [];
  readonly nodes: Node[] = [];
  readonly constants: GraphConstant[] = [];
  readonly #values = new Map<string, Value>();
  readonly #known = new Map<string, Value>();

  /** The value of that name. */
  value(name: string): Value {
    return this.#values.get(name)!;
  }

  input(shape: readonly number[], dtype: ElementType, index = this.inputs.length): Value {
    const alike = this.inputs.filter((one) => one.index === index && !one.isScales);
    const known = alike.find((one) => one.shape.join() === shape.join());
    if (known) return known;
    const name = alike.length === 0 ? `in${index}` : `in${index}_${shape.join("x")}`;
    const value = Object.assign(this.#define(name, shape, dtype), { index });
    this.inputs.push(value);
    return value;
  }

  /** What the rows of an input that is kept in 8 bits are scaled by. */
  scales(rows: number, index: number): Value {
    const value = this.#define(`in${index}_scales`, [rows], "float32");
    this.inputs.push(Object.assign(value, { index, isScales: true }));
    return value;
  }

  /** Is one of its inputs kept narrow? */
  get isNarrow(): boolean {
    return this.inputs.some(({ dtype }) => dtype === "uint16" || dtype === "int8");
  }

  /** The output of an operator; the one that exists already, where the same operator was applied to the same inputs. */
  apply(
    op: string,
    inputs: readonly Value[],
    shape: readonly number[],
    dtype: ElementType = inputs[0]!.dtype,
    attributes: Record<string, Attribute> = {},
  ): Value {
    const names = inputs.map((input) => input.name);
    if (COMMUTATIVE_OPS.has(op)) names.sort();
    const key = `${op}(${names})${JSON.stringify(attributes)}:${dtype}[${shape}]`;
    const known = this.#known.get(key);
    if (known) return known;
    const output = this.#define(`t${this.nodes.length}`, shape, dtype);
    const domain = MICROSOFT_OPS.has(op) ? "com.microsoft" : "";
    this.nodes.push({ op, domain, inputs: names, output, attributes });
    this.#known.set(key, output);
    return output;
  }

  /** A constant tensor. */
  constant(data: GraphConstant["data"], shape: readonly number[], dtype: ElementType): Value {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const key = `constant:${dtype}[${shape}]${bytes.toString("base64")}`;
    const known = this.#known.get(key);
    if (known) return known;
    const value = this.#define(`c${this.constants.length}`, shape, dtype);
    this.constants.push({ ...value, data });
    this.#known.set(key, value);
    return value;
  }

  /** A constant with no axes. */
  scalar(value: number, dtype: ElementType): Value {
    if (dtype === "float32") return this.constant(new Float32Array([value]), [], dtype);
    if (dtype === "int32") return this.constant(new Int32Array([value]), [], dtype);
    if (dtype === "uint32") return this.constant(new Uint32Array([value]), [], dtype);
    if (dtype === "bool") return this.constant(new Uint8Array([value]), [], dtype);
    return this.constant(new BigInt64Array([BigInt(value)]), [], dtype);
  }

  /** The whole numbers that ONNX wants as a tensor (shapes, axes, pads). */
  integers(values: readonly number[]): Value {
    return this.constant(new BigInt64Array(values.map(BigInt)), [values.length], "int64");
  }

  /** The same elements in the same order under another shape. */
  reshape(value: Value, shape: readonly number[]): Value {
    if (shape.length === value.shape.length && shape.every((size, i) => size === value.shape[i]))
      return value;
    if (sizeOf(shape) !== sizeOf(value.shape))
      throw new Error(`internal: reshape of [${value.shape}] to [${shape}]`);
    const source = this.#reshapedFrom.get(value.name) ?? value;
    if (source !== value) return this.reshape(source, shape);
    // ONNX Runtime copies what it is fed where an operator gives it another shape; fed under that shape it is not copied.
    const fed = this.inputs.find(({ name }) => name === value.name);
    if (fed) return this.input(shape, fed.dtype, fed.index);
    const result = this.apply("Reshape", [value, this.integers(shape)], shape);
    this.#reshapedFrom.set(result.name, value);
    return result;
  }
  readonly #reshapedFrom = new Map<string, Value>();

  /** What an operator made that only gave another shape to it; else the value itself. */
  beforeReshape(value: Value): Value {
    return this.#reshapedFrom.get(value.name) ?? value;
  }

  transpose(value: Value, perm: readonly number[]): Value {
    if (perm.every((axis, i) => axis === i)) return value;
    const product = value.shape.length === 2 && this.nodes.find((node) => node.output === value);
    if (product && value.dtype === "float32" && product.op.endsWith("MatMul"))
      return this.#transposedProduct(product);
    const shape = perm.map((axis) => value.shape[axis]!);
    return this.apply("Transpose", [value], shape, value.dtype, { perm: [...perm] });
  }

  /** (A B)^T as B^T A^T: a matrix product in the other order is cheaper than moving its result. */
  #transposedProduct({ inputs: [a, b], output, attributes }: Node): Value {
    const flags = { transA: 1 - Number(attributes.transB ?? 0), transB: 1 - Number(attributes.transA ?? 0) };
    const [rows, columns] = output.shape;
    return this.apply(
      "FusedMatMul",
      [this.value(b!), this.value(a!)],
      [columns!, rows!],
      output.dtype,
      flags,
    );
  }

  /**
   * Drops the operators that no output needs, and the constants that only they used. What widens an input comes first: of what
   * an operator needs, ONNX Runtime computes what comes first last, so that no matrix is wide before it is its turn.
   */
  prune(): void {
    const needed = new Set(this.outputs.map((output) => output.name));
    for (let i = this.nodes.length - 1; i >= 0; i--) {
      const node = this.nodes[i]!;
      if (needed.has(node.output.name)) for (const input of node.inputs) needed.add(input);
      else this.nodes.splice(i, 1);
    }
    const constants = this.constants.filter((constant) => needed.has(constant.name));
    this.constants.splice(0, this.constants.length, ...constants);
    const wide = new Set(this.inputs.map(({ name }) => name));
    const isFirst = ({ op, inputs, output }: Node) => {
      const widens = WIDENING_OPS.has(op) && inputs.every((name) => wide.has(name));
      if (widens) wide.add(output.name);
      return widens;
    };
    const first = this.nodes.filter(isFirst);
    if (first.length > 0)
      this.nodes.splice(
        0,
        this.nodes.length,
        ...[...first, ...this.nodes.filter((node) => !first.includes(node))],
      );
  }

  /** The program as text, one operator a line. */
  toString(): string {
    const typed = (value: Value) => `${value.name}:${value.dtype}[${value.shape}]`;
    const constant = ({ data, ...value }: GraphConstant) =>
      `${typed(value)} = ${data.length <= 8 ? `{${Array.from<number | bigint>(data).join(",")}}` : "{...}"}`;
    const attributes = (node: Node) => {
      const list = Object.entries(node.attributes).map(([name, value]) => `${name}=${value}`);
      return list.length > 0 ? ` {${list.join(" ")}}` : "";
    };
    return [
      `inputs  ${this.inputs.map(typed).join(", ")}`,
      ...this.constants.map(constant),
      ...this.nodes.map(
        (node) => `${typed(node.output)} = ${node.op}(${node.inputs.join(", ")})${attributes(node)}`,
      ),
      `outputs ${this.outputs.map(typed).join(", ")}`,
    ].join("\n");
  }

  #define(name: string, shape: readonly number[], dtype: ElementType): Value {
    const value = { name, shape: [...shape], dtype };
    this.#values.set(name, value);
    return value;
  }
}
