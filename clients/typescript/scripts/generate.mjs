// Types of the frames, made from docs/spec/bus.schema.json: node scripts/generate.mjs [SCHEMA] [OUT]
// Reads the part of JSON Schema that the schema uses; anything else is an error, so that nothing is lost unseen.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const schemaFile = process.argv[2] ?? here("../../../docs/spec/bus.schema.json");
const outFile = process.argv[3] ?? here("../src/frames.generated.ts");

const schema = JSON.parse(readFileSync(schemaFile, "utf8"));

/** PascalCase; what has a `type` of its own is a frame, and says so: `Event` and `Error` mean something else. */
function nameOf(key) {
  const pascal = key.replace(/(^|_)(\w)/g, (_, __, letter) => letter.toUpperCase());
  return schema.$defs[key]?.properties?.type?.const === undefined ? pascal : `${pascal}Frame`;
}

const oneLine = (text) => text.replace(/\s+/g, " ").trim();
const comment = (schema, indent) =>
  schema.description ? `${indent}/** ${oneLine(schema.description).replaceAll("*/", "* /")} */\n` : "";

function typeOf(schema, where) {
  if (schema.$ref !== undefined) return nameOf(schema.$ref.replace(/^#\/\$defs\//, ""));
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const either = schema.anyOf ?? schema.oneOf;
  if (either !== undefined) return [...new Set(either.map((one) => typeOf(one, where)))].join(" | ");
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeOf({ ...schema, type }, where)).join(" | ");
  switch (schema.type) {
    case undefined:
      return "unknown";
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "integer":
    case "number":
      return "number";
    case "array": {
      const item = typeOf(schema.items ?? {}, where);
      return item.includes("|") ? `(${item})[]` : `${item}[]`;
    }
    case "object": {
      if (schema.properties !== undefined) return `{ ${fields(schema, "").replaceAll("\n", " ").trim()} }`;
      const more = schema.additionalProperties;
      return `Record<string, ${more !== null && typeof more === "object" ? typeOf(more, where) : "unknown"}>`;
    }
    default:
      throw new Error(`${where}: type ${JSON.stringify(schema.type)} is not known to this generator`);
  }
}

function fields(schema, indent) {
  const required = new Set(schema.required ?? []);
  let text = "";
  for (const [name, field] of Object.entries(schema.properties)) {
    const optional = required.has(name) ? "" : "?";
    const key = /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);
    text += `${comment(field, indent)}${indent}${key}${optional}: ${typeOf(field, name)};\n`;
  }
  return text;
}

let out = "// Made by scripts/generate.mjs from docs/spec/bus.schema.json; `npm run generate` makes it anew.\n";
for (const [key, definition] of Object.entries(schema.$defs)) {
  out += `\n${comment(definition, "")}`;
  if (definition.type === "object" && definition.properties !== undefined) {
    out += `export interface ${nameOf(key)} {\n${fields(definition, "  ")}}\n`;
  } else {
    out += `export type ${nameOf(key)} = ${typeOf(definition, key)};\n`;
  }
}
writeFileSync(outFile, out);
