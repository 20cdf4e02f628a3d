// A small writer of test archives: good ones, and damaged ones by the hooks of `options.break`. Slots: passwords, and others as given.
//
//   KLEIDIA_PASSWORD=… node write.mjs FILE        writes a sample.
import { createCipheriv, createHmac, generateKeyPairSync, hkdfSync, randomBytes, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compress, init } from '@bokuweb/zstd-wasm';
import { argon2id } from 'hash-wasm';
import { PLAIN, floeKdf, padded, parameters, seconds, segmentKey, sha256, tarHeader } from './reader.mjs';

await init();

export const zstd = (bytes) => Buffer.from(compress(bytes, 3));
const u32 = (value) => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};

export const signer = () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  return { privateKey, public: publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64') };
};

function seal(key, nonce, plain, aad) {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(aad);
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

export async function passwordSlot(password, dataKey, factsDigest, { t = 1, m = 64, p = 2 } = {}) {
  const salt = randomBytes(16);
  const out = Buffer.from(await argon2id({ password, salt, iterations: t, parallelism: p, memorySize: m, hashLength: 64, outputType: 'binary' }));
  const aad = Buffer.concat([Buffer.from('kleidia-backup/v2 slot'), factsDigest]);
  const wrapped = seal(out.subarray(0, 32), Buffer.alloc(12), dataKey, aad);
  return { type: 'password', kdf: 'argon2id', t, m, p, salt: salt.toString('base64'), check: out.subarray(32).toString('base64'), wrapped: wrapped.toString('base64') };
}

export function sealBody(payload, key, aad, emptyLast = false) {
  const iv = randomBytes(32);
  const parts = [parameters().encoded, iv, floeKdf(key, iv, aad, Buffer.from('HEADER_TAG:'), 32)];
  const messageKey = floeKdf(key, iv, aad, Buffer.from('MESSAGE_KEY:'), 48);
  const last = Math.max(0, Math.ceil(payload.length / PLAIN) - 1) + (emptyLast ? 1 : 0);
  for (let position = 0; position <= last; position += 1) {
    const plain = payload.subarray(position * PLAIN, (position + 1) * PLAIN);
    const nonce = randomBytes(12);
    const tail = Buffer.alloc(9);
    tail.writeBigUInt64BE(BigInt(position));
    tail[8] = position === last ? 1 : 0;
    parts.push(u32(position === last ? plain.length + 32 : 0xffffffff), nonce, seal(segmentKey(messageKey, iv, aad, position), nonce, plain, tail));
  }
  return Buffer.concat(parts);
}

/**
 * The chunks of `items`, in their order:
 *   { sql: text, more }                                  a chunk of SQL
 *   { t, copy, rows: text, count, more, head, tail }     a chunk of rows (head and tail as they stand in it; default: as they must)
 *   { kv: [[path, value], ...] } or { lines: text, secrets }
 */
function chunksOf(items) {
  const out = [];
  let before;
  for (const item of items) {
    const chunk = { k: 'kv', more: item.more };
    if ('sql' in item) Object.assign(chunk, { k: 'sql', bytes: Buffer.from(item.sql) });
    else if ('t' in item) {
      const head = Buffer.from(item.head ?? (before?.more ? '' : `${item.copy}\n`));
      const tail = Buffer.from(item.tail ?? (item.more ? '' : '\\.\n'));
      const rows = Buffer.from(item.rows);
      Object.assign(chunk, { k: 'rows', t: item.t, copy: item.copy, rows, count: item.count ?? rows.toString('latin1').split('\n').length - 1 });
      Object.assign(chunk, { head: head.length, tail: tail.length, bytes: Buffer.concat([head, rows, tail]) });
    } else if ('kv' in item) {
      chunk.secrets = item.kv.length;
      chunk.bytes = Buffer.from(item.kv.map(([path, value]) => `{"path": ${JSON.stringify(path)}, "value": ${typeof value === 'string' ? value : JSON.stringify(value)}}\n`).join(''));
    } else {
      chunk.secrets = item.secrets;
      chunk.bytes = Buffer.from(item.lines);
    }
    chunk.frame = item.frame;
    out.push(chunk);
    before = item;
  }
  return out;
}

/** An archive as a Buffer. `options.break` names hooks: each gets what is there and returns (or changes) what is to be written. */
export async function writeArchive({ passwords, facts = {}, items = [], key, slots = [], kdf, signWith, emptyLast, more = 0, break: hooks = {} }) {
  const hook = (name, value, more) => hooks[name]?.(value, more) ?? value;
  const dataKey = key ?? randomBytes(32);
  const created = facts.created_at ?? '2026-01-02T03:04:05Z';
  const all = {
    version: 2,
    id: '0190a0f0-1111-7222-8333-444455556666',
    created_at: created,
    backup_type: 'full',
    includes_db: true,
    includes_kv: true,
    includes_audit: false,
    ...(signWith ? { signer: signWith.public } : {}),
    ...facts,
  };
  const factsBytes = hook('facts', Buffer.from(JSON.stringify(all)));
  const front = Buffer.concat([Buffer.from('KLEIDIA_BACKUP_V2'), u32(factsBytes.length), factsBytes]);
  const factsDigest = sha256(front);

  // Payload.
  const time = seconds(created);
  const parts = [];
  let offset = 0;
  const member = (name, content) => {
    parts.push(hook('tar', tarHeader(name, content.length, time), name), content, hook('fill', Buffer.alloc(padded(content.length) - content.length), name));
    offset += 512 + padded(content.length);
  };
  const begin = Buffer.from(`${JSON.stringify(all)}\n`);
  let lines = [{ k: 'begin', n: begin.length, h: sha256(begin).toString('hex') }];
  member('meta/begin.json', begin);
  const chunks = chunksOf(items);
  const copies = new Map();
  let secrets = 0;
  let sqlBytes = 0;
  for (const [number, chunk] of chunks.entries()) {
    const stored = chunk.frame ?? zstd(chunk.bytes);
    const line = { k: chunk.k, n: stored.length, raw: chunk.bytes.length, h: sha256(stored).toString('hex'), ...(chunk.more ? { more: true } : {}) };
    const padNumber = String(number).padStart(8, '0');
    let name = `db/${padNumber}.sql.zst`;
    if (chunk.k === 'rows') {
      name = `db/${padNumber}.t${String(chunk.t).padStart(4, '0')}.zst`;
      Object.assign(line, { t: chunk.t, rows: chunk.count, head: chunk.head, tail: chunk.tail });
      const copy = copies.get(chunk.t) ?? { k: 'copy', t: chunk.t, copy: chunk.copy, rows: 0, bytes: 0, all: [] };
      copy.rows += chunk.count;
      copy.bytes += chunk.rows.length;
      copy.all.push(chunk.rows);
      copies.set(chunk.t, copy);
    } else if (chunk.k === 'kv') {
      name = `kv/${padNumber}.jsonl.zst`;
      line.secrets = chunk.secrets;
      secrets += chunk.secrets;
    } else sqlBytes += chunk.bytes.length;
    lines.push(line);
    member(name, hook('stored', stored, name));
  }
  for (const { all: rows, ...copy } of copies.values()) {
    lines.push({ ...copy, h: sha256(...rows).toString('hex') });
    sqlBytes += copy.bytes + Buffer.byteLength(copy.copy) + 4;
  }
  lines.push({ k: 'end', chunks: chunks.length, copies: copies.size, rows: [...copies.values()].reduce((a, b) => a + b.rows, 0), secrets, sql_bytes: sqlBytes });
  lines = hook('index', lines);
  const source = hook('indexText', Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join('')));
  const stored = hook('indexStored', zstd(source));
  const at = offset + 512;
  member('meta/index.jsonl.zst', stored);
  if (signWith) {
    const message = Buffer.concat([Buffer.from('kleidia-backup/v2 signature\n'), factsDigest, sha256(stored)]);
    member('meta/index.sig', hook('signature', sign(null, message, signWith.privateKey)));
  }
  const size = Math.ceil((offset + 1024 + 512) / 10240) * 10240 + more;
  const locator = Buffer.alloc(512);
  locator.write('KLEIDIA2');
  locator.writeBigUInt64BE(BigInt(at), 8);
  locator.writeBigUInt64BE(BigInt(stored.length), 16);
  sha256(stored).copy(locator, 24);
  locator.writeBigUInt64BE(BigInt(size), 56);
  locator.writeBigUInt64BE(signWith ? 64n : 0n, 64);
  const payload = hook('payload', Buffer.concat([...parts, Buffer.alloc(size - 512 - offset), hook('locator', locator)]));

  // Head and body.
  const derive = (info) => Buffer.from(hkdfSync('sha256', dataKey, Buffer.alloc(0), info, 32));
  const made = await Promise.all(passwords.map((password) => passwordSlot(password, dataKey, factsDigest, kdf)));
  const list = hook('slots', [...slots, ...made]);
  const slotBytes = hook('slotBytes', Buffer.from(JSON.stringify({ slots: list }).padEnd(4096)));
  const head = Buffer.concat([front, u32(slotBytes.length), slotBytes]);
  const mac = createHmac('sha256', derive('kleidia-backup/v2 header')).update(head).digest();
  const body = hook('body', sealBody(payload, derive('kleidia-backup/v2 payload'), factsDigest, emptyLast));
  return hook('file', Buffer.concat([head, hook('mac', mac), body]), { front: front.length, slots: slotBytes.length });
}

export const SAMPLE = [
  { sql: 'SET client_encoding = \'UTF8\';\nCREATE TABLE a (x text);\n' },
  { t: 0, copy: 'COPY public.a (x) FROM stdin;', rows: 'one\ntwo\n' },
  { t: 0, copy: 'COPY public.a (x) FROM stdin;', rows: 'three\nfo', more: true, count: 1 },
  { t: 0, copy: 'COPY public.a (x) FROM stdin;', rows: 'ur\nfi\\nve\n' },
  { sql: '\nCREATE TABLE b (y text);\n' },
  { t: 1, copy: 'COPY public.b (y) FROM stdin;', rows: '' },
  { sql: '\nSELECT ', more: true },
  { sql: '1;\n' },
  { kv: [['a/b', { x: 1.5, y: null }], ['c', '{ "z" : [1e3] , "z": "\\ud800" }']] },
  { kv: [['ü', {}]] },
];

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(process.argv[2], await writeArchive({ passwords: [Buffer.from(process.env.KLEIDIA_PASSWORD)], items: SAMPLE }));
}
