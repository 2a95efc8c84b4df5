/** @file What settings there are, read from their schema: for tables, docs, editors, and for whoever mistypes one. */

import { distance } from "fastest-levenshtein";
import { z } from "zod";

/** One setting of a study file. */
export interface SettingInfo {
  /** Dotted, such as `training.kl`. */
  path: string;
  /** For people: `whole number, at least 1`, `one of: mean, max`. */
  type: string;
  required: boolean;
  /** As JSON; absent where there is none. */
  default?: string;
  meaning: string;
  /** What TRL (or PEFT, for adapters) calls it, where it has the same setting. */
  trl?: string;
  /** Other names by which people may look for it. */
  also: readonly string[];
}

/** What is used of JSON Schema (draft 2020-12). */
interface Schema {
  type?: string | string[];
  description?: string;
  default?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  trl?: string;
  also?: string[];
}

/** The settings of a schema, sections before what is in them. */
export function listSettings(schema: z.ZodType): SettingInfo[] {
  return listOf(z.toJSONSchema(schema, { io: "input" }) as Schema, "");
}

function listOf({ properties = {}, required = [] }: Schema, prefix: string): SettingInfo[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const path = prefix + name;
    const isSection = schema.properties !== undefined;
    const info: SettingInfo = {
      path,
      type: typeOf(schema),
      required: required.includes(name),
      ...(schema.default !== undefined && !isSection && { default: JSON.stringify(schema.default) }),
      meaning: schema.description ?? "",
      ...(schema.trl !== undefined && { trl: schema.trl }),
      also: schema.also ?? [],
    };
    // What may be a name or a section is listed with what is in the section.
    const section = isSection ? schema : schema.anyOf?.find((one) => one.properties !== undefined);
    return [info, ...listOf(section ?? {}, `${path}.`)];
  });
}

function typeOf(schema: Schema): string {
  if (schema.enum) return `one of: ${schema.enum.join(", ")}`;
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeOf({ type })).join(" or ");
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(" or ");
  if (schema.type === "array") return `list of ${schema.items ? typeOf(schema.items) : "values"}`;
  if (schema.type === "object") return schema.properties ? "section" : "table";
  if (schema.type === "boolean") return "true or false";
  if (schema.type === "integer" || schema.type === "number") return numberOf(schema);
  return schema.type === "string" ? "text" : "any";
}

/** A largest value that is only the type's own is not worth a word. */
function numberOf({ type, minimum, exclusiveMinimum, maximum = Number.MAX_SAFE_INTEGER }: Schema): string {
  const bounds = [
    ...(exclusiveMinimum !== undefined ? [`above ${exclusiveMinimum}`] : []),
    ...(minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? [`at least ${minimum}`] : []),
    ...(maximum < 2 ** 32 ? [`at most ${maximum}`] : []),
  ];
  return [type === "integer" ? "whole number" : "number", ...bounds].join(", ");
}

/** Says of a key that is no setting what may have been meant, and what is allowed in its place. */
export function unknownSetting(settings: readonly SettingInfo[], section: string, key: string): string {
  const prefix = section === "" ? "" : `${section}.`;
  const inside = ({ path }: SettingInfo) =>
    path.startsWith(prefix) && !path.slice(prefix.length).includes(".");
  const allowed = settings.filter(inside).map(({ path }) => path.slice(prefix.length));
  const near = nearest(key, allowed);
  const meant = byOtherName(settings, prefix, key) ?? (near && prefix + near);
  return `${prefix}${key}: there is no such setting. ${meant ? `Did you mean ${meant}? ` : ""}Allowed here: ${allowed.join(", ")}`;
}

/** The path of the setting that others call so, in the same section first. */
function byOtherName(settings: readonly SettingInfo[], prefix: string, key: string): string | undefined {
  const wanted = plain(key);
  const found = settings.filter(({ path, trl, also }) =>
    [path.slice(path.lastIndexOf(".") + 1), trl ?? "", ...also].some((name) => plain(name) === wanted),
  );
  return (found.find(({ path }) => path.startsWith(prefix)) ?? found[0])?.path;
}

/** `learning_rate`, `learning-rate` and `learningRate` are one name. */
function plain(name: string): string {
  return name.replace(/[_\-\s]/g, "").toLowerCase();
}

/** The name that a mistyped one is closest to: at most a third of its letters, rounded up, differ. */
export function nearest(typed: string, names: readonly string[]): string | undefined {
  const ranked = names
    .map((name) => ({ name, edits: distance(plain(typed), plain(name)) }))
    .sort((a, b) => a.edits - b.edits);
  const [best] = ranked;
  return best && best.edits <= Math.ceil(typed.length / 3) ? best.name : undefined;
}
