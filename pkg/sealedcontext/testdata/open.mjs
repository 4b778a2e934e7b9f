// Opens the sealed context of requests. The key ring is mounted as a directory: each file is a key of 32 bytes, named by its id.
import { createDecipheriv } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const KEYS = process.env.SEALED_CONTEXT_KEYS;

function readKey(id) {
  const content = readFileSync(join(KEYS, id));
  const key = content.length === 32 ? content : Buffer.from(content.toString().trim(), "base64");
  if (key.length !== 32) throw new Error(`key ${id} has ${key.length} bytes`);
  return key;
}

// open returns the value of that name as a Buffer. It throws if there is none, or if it was not sealed for this group and name.
export function open(headers, name) {
  const group = headers["x-keyward-group"];
  const sealed = headers["x-keyward-sealed-" + name.toLowerCase()];
  const parts = /^v1\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]+)$/.exec(sealed ?? "");
  if (!group || !parts) throw new Error("no sealed value " + name);
  const data = Buffer.from(parts[2], "base64url");
  if (data.length < 28) throw new Error("no sealed value " + name);
  const decipher = createDecipheriv("aes-256-gcm", readKey(parts[1]), data.subarray(0, 12), { authTagLength: 16 });
  decipher.setAAD(Buffer.from(`keyward/sealed-context/v1\n${group}\n${name.toLowerCase()}`));
  decipher.setAuthTag(data.subarray(-16));
  return Buffer.concat([decipher.update(data.subarray(12, -16)), decipher.final()]);
}
