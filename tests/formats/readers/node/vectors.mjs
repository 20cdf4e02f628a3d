// Reads every archive of a folder's `vectors.json` (section 14 of the page), and says where this reader and the page differ.
//
//   node vectors.mjs FOLDER
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault, privateKey, readArchive, sha256 } from './reader.mjs';

const [folder] = process.argv.slice(2);
const vectors = JSON.parse(readFileSync(join(folder, 'vectors.json')));
const wrong = [];
for (const vector of vectors) {
  const bytes = readFileSync(join(folder, vector.file));
  const differs = (what) => wrong.push(`${vector.file}: ${what} (${vector.comment})`);
  if (vector.sha256 && sha256(bytes).toString('hex') !== vector.sha256) differs('another file than the list says');
  const secret = vector.key ? { x25519: privateKey(vector.key) } : Buffer.from(vector.password);
  let found = 'ok';
  try {
    const read = await readArchive(bytes, secret, vector.trust ? [vector.trust] : []);
    // What the page forbids is to restore it: to look at it is allowed.
    if (!read.restorable) found = 'signature';
    for (const name of ['payload_sha256', 'db_sha256', 'sql_sha256', 'kv_sha256']) {
      if (vector.expect === 'ok' && read[name] !== vector[name]) differs(`${name} is ${read[name]}`);
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    found = `${error.layer}`;
  }
  if (found !== vector.expect) differs(`${found} instead of ${vector.expect}`);
}
console.log(`${vectors.length} archives, ${wrong.length} of them read otherwise than the page says`);
for (const line of wrong) console.error(line);
process.exitCode = vectors.length && !wrong.length ? 0 : 1;
