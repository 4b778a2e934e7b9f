// For tests: reads lines of JSON {headers, name} and writes for each what was opened, as {value} in base64, or {error}.
import { createInterface } from "node:readline";
import { open } from "./open.mjs";

for await (const line of createInterface({ input: process.stdin })) {
  const { headers, name } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ value: open(headers, name).toString("base64") }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
