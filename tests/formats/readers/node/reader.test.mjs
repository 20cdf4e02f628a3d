import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Body, PLAIN, SEGMENT, parameters, readArchive, sha256 } from './reader.mjs';
import { SAMPLE, passwordSlot, signer, writeArchive, zstd } from './write.mjs';

const PASSWORD = Buffer.from('correct horse – battery');
const SCRIPT =
  "SET client_encoding = 'UTF8';\nCREATE TABLE a (x text);\nCOPY public.a (x) FROM stdin;\none\ntwo\nthree\nfour\nfi\\nve\n\\.\n" +
  '\nCREATE TABLE b (y text);\nCOPY public.b (y) FROM stdin;\n\\.\n\nSELECT 1;\n';
const digest = (text) => sha256(Buffer.from(text)).toString('hex');
const make = (more = {}) => writeArchive({ passwords: [PASSWORD], items: SAMPLE, ...more });
const flip = (bytes, at) => {
  const out = Buffer.from(bytes);
  out[at < 0 ? bytes.length + at : at] ^= 1;
  return out;
};
const rejects = (bytes, layer, message = /./, password = PASSWORD) =>
  assert.rejects(readArchive(bytes, password), (error) => {
    assert.equal(error.layer, layer, error.stack);
    assert.match(error.message, message);
    return true;
  });

test('a good archive', async () => {
  const found = await readArchive(await make({ facts: { tool: 'test', later: [null] } }), PASSWORD);
  assert.equal(found.facts.tool, 'test');
  assert.equal(found.chunks, 10);
  assert.equal(found.sql_sha256, digest(SCRIPT));
  assert.equal(found.sql_bytes, Buffer.byteLength(SCRIPT));
  assert.deepEqual(found.copies.map(({ t, copy, rows, bytes }) => [t, copy, rows, bytes]), [
    [0, 'COPY public.a (x) FROM stdin;', 5, 26],
    [1, 'COPY public.b (y) FROM stdin;', 0, 0],
  ]);
  assert.deepEqual(found.secrets, [
    { path: 'a/b', sha256: digest('{"x":1.5,"y":null}') },
    { path: 'c', sha256: digest('{ "z" : [1e3] , "z": "\\ud800" }') },
    { path: 'ü', sha256: digest('{}') },
  ]);
  assert.equal(found.signed, false);
});

test('many segments, the last one full or not', async () => {
  for (const size of [0, 1, 5 * PLAIN, 6 * PLAIN + 7]) {
    const sql = `-- ${randomBytes(Math.ceil(size / 2)).toString('hex')}\n`;
    const found = await readArchive(await make({ items: [{ sql }], facts: { includes_kv: false } }), PASSWORD);
    assert.equal(found.sql_sha256, digest(sql));
  }
  assert.equal((await readArchive(await make({ items: [] }), PASSWORD)).chunks, 0);
});

test('a payload of full segments alone, with and without an empty last one', async () => {
  // The least common multiple of 10,240 and what a segment holds, filled with frames that compress nothing.
  const size = 320 * PLAIN;
  const item = (length) => {
    const [sql, blocks] = ['a'.repeat(length), []];
    for (let at = 0; at < length; at += 131072) {
      const part = Buffer.from(sql.slice(at, at + 131072));
      const head = Buffer.alloc(3);
      head.writeUIntLE((part.length << 3) | (at + 131072 >= length ? 1 : 0), 0, 3);
      blocks.push(head, part);
    }
    const front = Buffer.from('28b52ffda000000000', 'hex');
    front.writeUInt32LE(length, 5);
    return { sql, frame: Buffer.concat([front, ...blocks]) };
  };
  const items = [...Array.from({ length: 5 }, () => item(16000000)), item(3860000)];
  for (const emptyLast of [false, true]) {
    let payload;
    const bytes = await make({ items, emptyLast, break: { payload: (b) => ((payload = b.length), b) } });
    assert.equal(payload, size);
    assert.equal((bytes.length - 57 - bytes.readUInt32BE(17) - 4096 - 74) % SEGMENT, emptyLast ? 32 : 0);
    assert.equal((await readArchive(bytes, PASSWORD)).chunks, 6);
  }
});

test('no more zero bytes than needed', async () => {
  await rejects(await make({ more: 10240 }), 'index', /more zero bytes/);
});

test('chunks of several COPY statements alternate', async () => {
  const [a, b] = ['COPY a FROM stdin;', 'COPY b FROM stdin;'];
  const items = [{ t: 0, copy: a, rows: '1\n' }, { t: 1, copy: b, rows: '2\n' }, { t: 0, copy: a, rows: '3\n' }];
  const found = await readArchive(await make({ items }), PASSWORD);
  assert.equal(found.sql_sha256, digest(`${a}\n1\n\\.\n${b}\n2\n\\.\n${a}\n3\n\\.\n`));
  assert.deepEqual(found.copies.map((copy) => copy.rows), [2, 1]);
});

test('an end of line behind a backslash is part of a value, also across chunks', async () => {
  const copy = 'COPY a FROM stdin;';
  const items = [
    { t: 0, copy, rows: 'x\\\ny\\\\\nz\\', count: 1, more: true },
    { t: 0, copy, rows: '\\', count: 0, more: true },
    { t: 0, copy, rows: '\nq\\', count: 1, more: true },
    { t: 0, copy, rows: '\nr\n', count: 1 },
  ];
  assert.equal((await readArchive(await make({ items }), PASSWORD)).rows, 3);
  await rejects(await make({ items: [{ t: 0, copy, rows: 'x\\\n', count: 0 }] }), 'payload', /inside a row/);
  await rejects(await make({ items: [{ t: 0, copy, rows: 'x', count: 0 }] }), 'payload', /inside a row/);
  await rejects(await make({ items: [{ t: 0, copy, rows: 'x\n\\.\n', count: 2 }] }), 'payload', /end of COPY/);
  await rejects(await make({ items: [{ t: 0, copy, rows: 'x\n\\', count: 1, more: true }, { t: 0, copy, rows: '.\n', count: 1 }] }), 'payload', /end of COPY/);
});

test('passwords and slots', async () => {
  const other = Buffer.from('other');
  const bytes = await make({ passwords: [other, PASSWORD], slots: [{ type: 'later', x: 1 }] });
  await readArchive(bytes, PASSWORD);
  await readArchive(bytes, other);
  await rejects(bytes, 'password', /no slot/, Buffer.from('wrong'));
  const slots = (change) => make({ break: { slots: (list) => change(list) } });
  await rejects(await slots((list) => [...list, { type: 'password' }]), 'slots');
  for (const [name, value] of [['t', 0], ['t', 17], ['t', '1'], ['m', 15], ['m', 262145], ['p', 17], ['p', null], ['kdf', 'scrypt'], ['salt', 'AAAA'], ['check', 1]]) {
    await rejects(await slots((list) => [{ ...list[0], [name]: value }]), 'slots', new RegExp(name));
  }
  await rejects(await slots((list) => [{ ...list[0], wrapped: Buffer.alloc(48).toString('base64') }]), 'slots', /damaged/);
  await rejects(await slots(() => []), 'slots');
  await rejects(await slots((list) => Array(9).fill(list[0])), 'slots', /more than 8/);
  await rejects(await slots((list) => Array(3).fill({ ...list[0], t: 4, m: 262144 })), 'slots', /too much work/);
  await rejects(bytes, 'password', /empty/, Buffer.alloc(0));
  await rejects(await slots(() => [{ type: 'transit', mount: 'a', name: 'b', wrapped: 'c' }]), 'slots', /alone/);
  await rejects(await slots((list) => [...list, { type: 'x25519', key: '00'.repeat(8), sealed: 'AAAA' }]), 'slots', /sealed/);
  const sealed = { type: 'x25519', key: '00'.repeat(8), sealed: Buffer.alloc(80).toString('base64') };
  await rejects(await slots((list) => [...list, sealed]), 'signature', /without a signature/);
  const key = signer();
  const good = await make({ slots: [sealed], signWith: key });
  assert.equal((await readArchive(good, PASSWORD)).restorable, false);
  assert.equal((await readArchive(good, PASSWORD, [key.public])).restorable, true);
  // Slots of another archive do not fit these facts.
  const strange = await passwordSlot(PASSWORD, randomBytes(32), Buffer.alloc(32), { t: 1, m: 16, p: 1 });
  await rejects(await slots(() => [strange]), 'slots', /damaged/);
});

test('the head', async () => {
  const good = await make();
  await rejects(Buffer.alloc(0), 'magic');
  await rejects(good.subarray(0, 16), 'magic');
  await rejects(Buffer.from('KLEIDIA_BACKUP_V1…'), 'magic', /another version/);
  await rejects(Buffer.from('KLEIDIA_BACKUP_VX…'), 'magic', /no archive/);
  await rejects(good.subarray(0, 19), 'header', /cut/);
  await rejects(good.subarray(0, 100), 'header', /cut/);
  await rejects(good.subarray(0, 4400), 'header', /cut/);
  await rejects(Buffer.concat([good.subarray(0, 17), Buffer.from('00010001', 'hex'), good.subarray(21)]), 'header', /too long/);
  await rejects(await make({ break: { mac: (mac) => flip(mac, 3) } }), 'header', /MAC/);
  await rejects(await make({ break: { file: (file, at) => flip(file, at.front + 4 + 4000) } }), 'slots');
  await rejects(await make({ break: { slotBytes: (b) => Buffer.concat([b, Buffer.alloc(100, 32)]) } }), 'header', /length/);
  const facts = (change) => make({ break: { facts: (b) => Buffer.from(change(b.toString())) } });
  await rejects(await facts((f) => f.replace('"version":2', '"version":3')), 'magic', /another version/);
  for (const [from, to] of [
    ['"version":2', '"version":2.0'], ['"version":2', '"version":"2"'], ['"version":2', '"version":2,"version":2'], ['"full"', '"other"'],
    ['05Z', '05+00:00'], ['2026-01', '2026-13'], ['"includes_kv":true', '"includes_kv":1'], ['"includes_kv":true', '"signer":"AAAA","includes_kv":true'],
    ['{', '\ufeff{'], ['{', '{"a":[1,],'], ['{', '{"a":9007199254740993,'], ['{', '{"a":"\\ud800",'], ['}', '} x'], ['{', `{"a":${'['.repeat(100)}${']'.repeat(100)},`],
  ]) {
    await rejects(await facts((f) => f.replace(from, () => to)), 'header', /facts/);
  }
});

test('the seal', async () => {
  const items = [{ sql: `-- ${randomBytes(PLAIN).toString('hex')}\n` }];
  const good = await make({ items });
  const start = good.length - ((good.length - 57 - good.readUInt32BE(17) - 4096 - 74) % SEGMENT);
  await rejects(good.subarray(0, -1), 'seal', /length field/);
  await rejects(Buffer.concat([good, Buffer.alloc(1)]), 'seal', /length field/);
  await rejects(good.subarray(0, start), 'seal', /length field/);
  await rejects(good.subarray(0, start + 20), 'seal', /cut/);
  await rejects(flip(good, -1), 'seal');
  await rejects(flip(good, -SEGMENT), 'seal');
  const body = (change) => make({ items, break: { body: change } });
  for (const at of [0, 12, 73, 74, 80, 100, 74 + SEGMENT - 1, 74 + SEGMENT]) await rejects(await body((b) => flip(b, at)), 'seal');
  const swap = (b) => Buffer.concat([b.subarray(0, 74), b.subarray(74 + SEGMENT, 74 + 2 * SEGMENT), b.subarray(74, 74 + SEGMENT), b.subarray(74 + 2 * SEGMENT)]);
  await rejects(await make({ items: [{ sql: items[0].sql }, { sql: items[0].sql }], break: { body: swap } }), 'seal', /segment [01] is damaged/);
});

test('locator, tar and signature', async () => {
  for (const at of [0, 9, 15, 23, 30, 63, 71, 100, 511]) await rejects(await make({ break: { locator: (b) => flip(b, at) } }), 'index');
  for (const name of ['meta/begin.json', 'db/00000001.t0000.zst', 'kv/00000008.jsonl.zst', 'meta/index.jsonl.zst']) {
    for (const at of [0, 99, 105, 140, 150, 156, 160, 300, 340, 500]) {
      await rejects(await make({ break: { tar: (b, of) => (of === name ? flip(b, at) : b) } }), 'tar', /header/);
    }
    await rejects(await make({ break: { fill: (b, of) => (of === name ? flip(b, 0) : b) } }), 'tar', /not zero/);
  }
  await rejects(await make({ break: { payload: (b) => flip(b, -513) } }), 'tar', /payload/);
  await rejects(await make({ break: { payload: (b) => Buffer.concat([b.subarray(0, -512), Buffer.alloc(512), b.subarray(-512)]) } }), 'index', /10,240/);
  const key = signer();
  assert.equal((await readArchive(await make({ signWith: key }), PASSWORD)).signed, true);
  await rejects(await make({ signWith: key, break: { signature: (b) => flip(b, 0) } }), 'signature');
  await rejects(await make({ signWith: key, facts: { signer: signer().public } }), 'signature', /wrong/);
  await rejects(await make({ signWith: key, facts: { signer: undefined } }), 'signature', /without a signer/);
  await rejects(await make({ facts: { signer: key.public } }), 'signature', /missing/);
});

test('chunks', async () => {
  const one = (item, facts) => make({ items: [item], facts });
  await rejects(await make({ break: { stored: (b, of) => (of.startsWith('db/00000004') ? flip(b, -1) : b) } }), 'chunk', /SHA-256/);
  const good = zstd(Buffer.from('abc'));
  await rejects(await one({ sql: 'ab', frame: good }), 'zstd', /content size/);
  await rejects(await one({ sql: 'abc', frame: Buffer.concat([good, good]) }), 'zstd', /behind/);
  await rejects(await one({ sql: 'abc', frame: good.subarray(0, -1) }), 'zstd', /cut/);
  await rejects(await one({ sql: 'abc', frame: Buffer.concat([Buffer.from('502a4d1800000000', 'hex'), good]) }), 'zstd', /no zstd frame/);
  // Raw and run-length blocks whose sum is not the content size.
  const frame = (size, ...blocks) => Buffer.from(`28b52ffd20${size}${blocks.join('')}`, 'hex');
  assert.equal((await readArchive(await one({ sql: 'abcaaaa', frame: frame('07', '180000616263', '23000061') }), PASSWORD)).sql_sha256, digest('abcaaaa'));
  await rejects(await one({ sql: 'abcaaa', frame: frame('06', '180000616263', '23000061') }), 'zstd');
  await rejects(await one({ sql: 'abcaaaab', frame: frame('08', '180000616263', '23000061') }), 'zstd');
  await rejects(await one({ sql: 'abc', frame: Buffer.from('28b52ffd0050190000616263', 'hex') }), 'zstd', /no content size/);
  // A frame of the zstd program, which ends with a checksum.
  const summed = Buffer.from('28b52ffd24244d00001861626301008e6e08101c69be', 'hex');
  await readArchive(await one({ sql: 'abc'.repeat(12), frame: summed }), PASSWORD);
  await rejects(await one({ sql: 'abc'.repeat(12), frame: flip(summed, -1) }), 'zstd', /checksum/);
  await rejects(await one({ sql: 'abc', frame: Buffer.from('28b52ffd210103190000616263', 'hex') }), 'zstd');
  const wide = `28b52ffd80f8${'03000000'}190000616263`;
  await rejects(await one({ sql: 'abc', frame: Buffer.from(wide, 'hex') }), 'zstd', /window/);
  // Text that compresses somewhat, in many blocks, and text that does not.
  let mixed = '';
  for (let i = 0; mixed.length < 1500000; i += 1) mixed += `${i}\t${i % 7 ? 'word' : randomBytes(9).toString('base64')}\t${(i * 7919) % 1000}\n`;
  assert.equal((await readArchive(await one({ sql: mixed }), PASSWORD)).sql_sha256, digest(mixed));
  await rejects(await one({ lines: '{"path": "a", "value": {}}', secrets: 1 }), 'payload', /no end/);
  await rejects(await one({ lines: '{"path": "a", "value": {}}\n', secrets: 2 }), 'payload', /not those/);
  await rejects(await one({ lines: '{"path": "a", "value": []}\n', secrets: 1 }), 'payload', /no object/);
  await rejects(await one({ lines: '{"path": "a", "value": {"a" 1}}\n', secrets: 1 }), 'payload', /not JSON/);
  await rejects(await one({ lines: '{"path": "a", "path": "b", "value": {}}\n', secrets: 1 }), 'payload', /twice/);
  await rejects(await one({ lines: '{"path": "a", "value": {}}\n\n', secrets: 1 }), 'payload');
  const gone = '{"path": "a", "newest": "deleted", "version": 2}\n{"path": "b", "newest": "none"}\n';
  assert.deepEqual((await readArchive(await one({ lines: gone, secrets: 2 }), PASSWORD)).secrets, [{ path: 'a', newest: 'deleted' }, { path: 'b', newest: 'none' }]);
  await rejects(await one({ lines: '{"path": "a"}\n', secrets: 1 }), 'payload', /neither/);
  await rejects(await one({ lines: '{"path": "a", "newest": "deleted"}\n', secrets: 1 }), 'payload', /version/);
  await rejects(await make({ items: [{ kv: [['a', {}]] }, { kv: [['a', {}]] }] }), 'payload', /twice/);
  const deep = `{"a":${'['.repeat(100000)}${']'.repeat(100000)}}`;
  assert.equal((await readArchive(await one({ kv: [['deep', deep]] }), PASSWORD)).secrets[0].sha256, digest(deep));
  const copy = 'COPY a FROM stdin;';
  await rejects(await one({ t: 0, copy, head: 'COPY b FROM stdin;\n', rows: '' }), 'payload', /head/);
  await rejects(await one({ t: 0, copy, tail: '\\,\n', rows: '' }), 'payload', /tail/);
  await rejects(await one({ t: 0, copy, rows: 'a\n', count: 2 }), 'payload', /rows/);
});

test('the index', async () => {
  const index = (change) => make({ break: { index: (lines) => change(structuredClone(lines)) } });
  const set = (at, members) => (lines) => {
    Object.assign(lines.at(at), members);
    return lines;
  };
  for (const [at, members] of [
    [0, { k: 'sql' }], [0, { n: 9999 }], [0, { h: 'x' }], [0, { n: -1 }], [1, { n: 5000 }], [1, { n: 16842753 }], [1, { raw: 16777217 }], [1, { more: true }], [1, { more: false }],
    [2, { t: 1 }], [2, { head: 0 }], [2, { head: undefined }], [2, { head: 29 }], [2, { tail: 0 }], [2, { rows: 3 }], [3, { more: undefined }], [4, { head: 30 }],
    [11, { t: 1 }], [11, { bytes: 1 }], [11, { copy: '' }], [11, { copy: 'COPY x' }], [11, { k: 'later' }], [5, { raw: 27 }], [9, { secrets: 3 }], [9, { more: true }],
    [-1, { k: 'copy' }], [-1, { chunks: 11 }], [-1, { copies: 1 }], [-1, { rows: 0 }], [-1, { secrets: 0 }], [-1, { sql_bytes: 0 }], [-1, { sql_bytes: undefined }],
  ]) {
    await rejects(await index(set(at, members)), 'index');
  }
  await rejects(await index(set(11, { h: '0'.repeat(64) })), 'payload', /COPY 0/);
  await rejects(await index((lines) => lines.filter((_, i) => i !== 11)), 'index');
  await rejects(await index((lines) => [lines[0], ...lines.slice(2)]), 'index');
  assert.equal((await readArchive(await index((lines) => set(3, { tail: undefined })(set(4, { head: undefined })(lines))), PASSWORD)).chunks, 10);
  await rejects(await make({ items: [{ sql: '' }] }), 'index', /empty/);
  const moved = (lines, from, to) => {
    lines.splice(to, 0, ...lines.splice(from, 1));
    return lines;
  };
  await rejects(await index((lines) => moved(lines, 11, 5)), 'index', /behind a COPY line/);
  await rejects(await index((lines) => moved(lines, 11, 12)), 'index', /order/);
  await rejects(await index((lines) => lines.slice(0, -1)), 'index');
  await rejects(await index((lines) => [...lines, lines.at(-1)]), 'index');
  await rejects(await make({ items: [SAMPLE[8], SAMPLE[0]] }), 'index', /behind secrets/);
  await rejects(await make({ facts: { includes_db: false } }), 'index', /SQL/);
  await rejects(await make({ facts: { includes_kv: false } }), 'index', /secrets/);
  const source = (change) => make({ break: { indexText: change } });
  await rejects(await source((b) => b.subarray(0, -1)), 'index', /no end/);
  await rejects(await source((b) => Buffer.concat([Buffer.from('\n'), b])), 'index');
  await rejects(await source((b) => Buffer.concat([Buffer.alloc(1048576, 32), b])), 'index', /too long/);
  await rejects(await source((b) => Buffer.concat([b, Buffer.from('{}\n'.repeat(100))])), 'index', /more lines/);
  const stored = (change) => make({ break: { indexStored: change } });
  await rejects(await stored((b) => b.subarray(0, -1)), 'index');
  await rejects(await stored((b) => Buffer.concat([b, Buffer.from('x')])), 'index');
  await rejects(await stored(() => Buffer.alloc(0)), 'index');
  // Several frames, and a frame that stores no size.
  const split = await make({ break: { indexStored: (b) => Buffer.concat([zstd(Buffer.alloc(0)), b]) } });
  assert.equal((await readArchive(split, PASSWORD)).chunks, 10);
  const unsized = (text, window) => {
    const blocks = [];
    for (let at = 0; at < text.length; at += 1000) {
      const part = text.subarray(at, at + 1000);
      const head = Buffer.alloc(3);
      head.writeUIntLE((part.length << 3) | (at + 1000 >= text.length ? 1 : 0), 0, 3);
      blocks.push(head, part);
    }
    return Buffer.concat([Buffer.from('28b52ffd00', 'hex'), Buffer.from([window]), ...blocks]);
  };
  let text;
  const keep = (b) => {
    text = b;
    return b;
  };
  const frames = (window) => make({ break: { indexText: keep, indexStored: () => unsized(text, window) } });
  assert.equal((await readArchive(await frames(0x50), PASSWORD)).chunks, 10);
  await rejects(await frames(0x70), 'index', /window/);
});

test('the command', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'v2-'));
  const run = (args, env = {}) =>
    new Promise((done) => {
      const reader = fileURLToPath(new URL('reader.mjs', import.meta.url));
      execFile(process.execPath, [reader, ...args], { env: { PATH: process.env.PATH, ...env } }, (error, stdout) => done([error?.code ?? 0, stdout]));
    });
  try {
    const file = join(folder, 'a');
    writeFileSync(file, await make());
    writeFileSync(join(folder, 'password'), `${PASSWORD}\n`);
    const [code, out] = await run(['--password-file', join(folder, 'password'), file]);
    assert.equal(code, 0);
    assert.equal(JSON.parse(out).sql_sha256, digest(SCRIPT));
    const [wrong, message] = await run([file], { KLEIDIA_PASSWORD: 'no' });
    assert.equal(wrong, 1);
    assert.equal(JSON.parse(message).error, 'password');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

// Published with FLOE's specification (Snowflake-Labs/floe-specification, kats/, Apache-2.0).
const VECTORS = [
  {
    name: 'java_lastSegEmpty',
    params: parameters(40, 20),
    sealed:
      '00000000002800000020e4fd1738289ec2a831a32ff254bc176033f565de7f15928355b3a8bb4694a67b3e5dbb9e3bb6608743b2451f6fd129a31d83b455a67eaf11be3b882dd8d3b10fffffffff1fdfeebb9f3d2c4af5f556e481d8c73c8ad1286a4a2cf73580f5eef7cd20922b5c430ddbffffffff777bc2da2eb1d497f77657cc4eb211fa9c5280b1f0cab8d6c9c34a81c37140079c3d5cb1000000201832f5ffdd0e8529483ee8032c2fcd25779ddf459dcdd57fb3ba8d80',
    plain: 'b83fb512012054a0195ff30074ebd4a8',
  },
  {
    name: 'java_rotation',
    params: parameters(40, 2),
    sealed:
      '00000000002800000020bcff1ac58da5913ecd816a609cd111829060413f4e6fc975fcd7924865bf57e8ce413a9820327c6cb03a613b9208bdcb8941c3b9ed7698a47cbf540ff20dbe7effffffff1d46a3b8256de57fd4cc768c57f1eb0d04daff23edf52629979c06e55a8c3a188252d159ffffffff122818aa0f01912d473e414ca6b16009cdcf437802aa7f7abcc6aa0e0567b55027f26fc2ffffffff7b3c05915ff86d433f96fe003e0874666c0691cbdf827702927f46d072bf40e82e0c1d01ffffffff138c8a17e461985bbd1952fc8fcdf0470ab8bc3dfef8413e7fef8e18e592c7697a2814c7ffffffff1851eb4596328bb46f8e1f51a8079590fef03a2dd36175ead47fc2de8d3d7eb2c24e829cffffffff2a0b2ea2edb81889b8ba78cea4a1090ba759de7e2ed660e01530729f5e2e8a39fe34435effffffff5681b49f7e01cc19aeec4858e607443239b2e7ade1f8beeb8833a9640fa0a9d3f8a5617effffffff5517335d118b8c5fd8b7e1a45ca801338778dd451ff2175b168f77d8deeac011a12cfcd4ffffffff38fd26287078599380825bc5e6a58c232147603721a76475b3b110dbb7e9a53ef815468effffffff905ea3ae3074a8f1548185dd9bf11ced3cd3bce3e0c0e5f1d331136da1db68874a99a0e500000023f83701a68fb679ad1d8fd4c3b9721bd8df4f1c6acd466a4b110a6f7a90b8b0',
    plain: '1c79058d26a13b0cac41256ca000c75b8938f2378c76e2d01308d9a9e2240ea4d30086565a748049fa45efcbdaf51c317f3f403747b09f856e4e516624906a347a2bae2a5079576eb340ac4367611439c40d54',
  },
];

test("FLOE's own vectors", () => {
  for (const { name, params, sealed, plain } of VECTORS) {
    const bytes = Buffer.from(sealed, 'hex');
    const file = { size: bytes.length, read: (at, size) => bytes.subarray(at, at + size) };
    const body = new Body(file, 0, Buffer.alloc(32), Buffer.from('This is AAD'), params);
    assert.equal(body.read(0, body.size).toString('hex'), plain, name);
  }
});
