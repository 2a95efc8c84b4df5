/** @file A graph as the bytes of an ONNX model. */

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType,
  type AttributeProtoSchema,
  ModelProtoSchema,
  type NodeProtoSchema,
  type TensorProtoSchema,
  type ValueInfoProtoSchema,
} from "onnx-buf";
import {
  type Attribute,
  elementCodes,
  type Graph,
  type GraphConstant,
  type Node,
  type Value,
} from "./graph.ts";

/** The bytes that ONNX Runtime loads (IR version 10, operator set 21; 12 and 26 where bits are read as other numbers). */
export function encodeModel(graph: Graph): Uint8Array {
  const isNew = graph.nodes.some(({ op }) => op === "BitCast");
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: isNew ? 12n : 10n,
      opsetImport: [
        { domain: "", version: isNew ? 26n : 21n },
        { domain: "com.microsoft", version: 1n },
      ],
      graph: {
        name: "program",
        input: graph.inputs.map(valueInfo),
        output: [...new Set(graph.outputs)].map(valueInfo),
        initializer: graph.constants.map(initializer),
        node: graph.nodes.map(node),
      },
    }),
  );
}

function valueInfo(value: Value): MessageInitShape<typeof ValueInfoProtoSchema> {
  const dim = value.shape.map((size) => ({ value: { case: "dimValue" as const, value: BigInt(size) } }));
  const tensor = { elemType: elementCodes[value.dtype], shape: { dim } };
  return { name: value.name, type: { value: { case: "tensorType", value: tensor } } };
}

function initializer({
  name,
  shape,
  dtype,
  data,
}: GraphConstant): MessageInitShape<typeof TensorProtoSchema> {
  const rawData = Uint8Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return { name, dims: shape.map(BigInt), dataType: elementCodes[dtype], rawData };
}

function node({ op, domain, inputs, output, attributes }: Node): MessageInitShape<typeof NodeProtoSchema> {
  const attribute = Object.entries(attributes).map(([name, value]) => attributeProto(name, value));
  return { name: output.name, opType: op, domain, input: inputs, output: [output.name], attribute };
}

function attributeProto(name: string, value: Attribute): MessageInitShape<typeof AttributeProtoSchema> {
  if (typeof value === "string")
    return { name, type: AttributeProto_AttributeType.STRING, s: new Uint8Array(Buffer.from(value)) };
  if (typeof value === "number") return { name, type: AttributeProto_AttributeType.INT, i: BigInt(value) };
  return { name, type: AttributeProto_AttributeType.INTS, ints: value.map(BigInt) };
}
