// A reader of KLEIDIA_BACKUP_V2 archives, written from formats/v2/SPEC.md alone: it checks all that the page demands.
//
//   KLEIDIA_PASSWORD=… node reader.mjs FILE, or node reader.mjs --password-file FILE FILE, or node reader.mjs --key FILE FILE
//
// KLEIDIA_TRUSTED_SIGNERS may name trusted signers (base64 of Ed25519 public keys, separated by commas).
import {
  createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman, hkdfSync, timingSafeEqual, verify,
} from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Decompress } from 'fzstd';
import { argon2id, xxhash64 } from 'hash-wasm';

export const SEGMENT = 262144;
export const PLAIN = SEGMENT - 32;
const MAX_RAW = 16777216;
const MAX_STORED = MAX_RAW + 65536;
const MAX_INDEX = 134217728;
const MAX_INDEX_RAW = 1073741824n;
const MAX_LINE = 1048576;
const MAX_WINDOW = 8388608;

export class Fault extends Error {
  constructor(layer, message) {
    super(message);
    this.layer = layer;
  }
}

const fail = (layer, message) => {
  throw new Fault(layer, message);
};

const must = (condition, layer, message) => {
  if (!condition) fail(layer, message);
};

export const sha256 = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

// ---- JSON (section 3) ----

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const DEPTH = 64;

/** Text of bytes, or a fault. */
const text = (bytes, layer, what) => {
  try {
    return UTF8.decode(bytes);
  } catch {
    return fail(layer, `${what} is not UTF-8`);
  }
};

/**
 * Parse the object that `source` is by the strict rules. Objects become Maps. A member of the outermost object whose name is
 * `raw` is not looked into by these rules: its source text is returned instead, after a check that it is a JSON object.
 * Nor is any other but `path` then, which may be any JSON.
 */
export function parseObject(source, layer, what, raw = undefined) {
  let at = 0;
  const bad = (why) => fail(layer, `${what}: ${why}`);
  const space = () => {
    while (at < source.length && ' \t\n\r'.includes(source[at])) at += 1;
  };
  const string = () => {
    const start = at;
    at += 1;
    for (;;) {
      if (at >= source.length) bad('a string has no end');
      const c = source[at];
      if (c === '"') break;
      at += c === '\\' ? 2 : 1;
    }
    at += 1;
    let value;
    try {
      value = JSON.parse(source.slice(start, at));
    } catch {
      bad('a string is not JSON');
    }
    if (/\p{Surrogate}/u.test(value)) bad('a string holds half a surrogate pair');
    return value;
  };
  const skip = (name) => {
    const start = at;
    if (name === raw && source[at] !== '{') bad(`${raw} is no object`);
    let depth = 0;
    if (!'{["'.includes(source[at])) while (at < source.length && !',} \t\r\n'.includes(source[at])) at += 1;
    else do {
      const c = source[at];
      if (c === undefined) bad('it has no end');
      if (c === '"') {
        at += 1;
        while (at < source.length && source[at] !== '"') at += source[at] === '\\' ? 2 : 1;
        if (at >= source.length) bad('a string has no end');
      } else if (c === '{' || c === '[') depth += 1;
      else if (c === '}' || c === ']') depth -= 1;
      at += 1;
    } while (depth > 0);
    const span = source.slice(start, at);
    try {
      JSON.parse(span);
    } catch {
      bad(`${name} is not JSON`);
    }
    return span;
  };
  const number = () => {
    const match = /-?(?:0|[1-9][0-9]*)/y;
    match.lastIndex = at;
    const found = match.exec(source);
    if (!found) bad('no value where one must be');
    at += found[0].length;
    if (at < source.length && '.eE0123456789'.includes(source[at])) bad('a number is no plain integer');
    if (found[0].length > 17) bad('a number is over 2^53');
    const value = BigInt(found[0]);
    if (value > 2n ** 53n || value < -(2n ** 53n)) bad('a number is over 2^53');
    return Number(value);
  };
  const value = (depth) => {
    if (depth > DEPTH) bad('it is nested too deep');
    const c = source[at];
    if (c === '{') return object(depth);
    if (c === '[') {
      const list = [];
      at += 1;
      space();
      if (source[at] === ']') {
        at += 1;
        return list;
      }
      for (;;) {
        space();
        list.push(value(depth + 1));
        space();
        if (source[at] === ',') at += 1;
        else if (source[at] === ']') {
          at += 1;
          return list;
        } else bad('an array is broken');
      }
    }
    if (c === '"') return string();
    for (const [word, meaning] of [['true', true], ['false', false], ['null', null]]) {
      if (source.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    return number();
  };
  const object = (depth) => {
    const members = new Map();
    at += 1;
    space();
    if (source[at] === '}') {
      at += 1;
      return members;
    }
    for (;;) {
      space();
      if (source[at] !== '"') bad('a member has no name');
      const name = string();
      if (members.has(name)) bad(`member ${JSON.stringify(name)} stands twice`);
      space();
      if (source[at] !== ':') bad('a member has no value');
      at += 1;
      space();
      members.set(name, depth === 1 && raw && name !== 'path' ? skip(name) : value(depth + 1));
      space();
      if (source[at] === ',') at += 1;
      else if (source[at] === '}') {
        at += 1;
        return members;
      } else bad('an object is broken');
    }
  };
  space();
  if (source[at] !== '{') bad('it is no JSON object');
  const result = object(1);
  space();
  if (at !== source.length) bad('something stands behind the object');
  return result;
}

const isCount = (value) => typeof value === 'number' && value >= 0;
const isHex = (value, digits) => typeof value === 'string' && value.length === digits && /^[0-9a-f]*$/.test(value);

/** Bytes of canonical base64 of exactly `size` bytes, or undefined. */
function base64(value, size) {
  if (typeof value !== 'string') return undefined;
  const bytes = Buffer.from(value, 'base64');
  return bytes.length === size && bytes.toString('base64') === value ? bytes : undefined;
}

// ---- Head (sections 2 to 4) ----

const MAGIC = Buffer.from('KLEIDIA_BACKUP_V2');
const INSTANT = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z$/;

/** Seconds since 1970 of `created_at`, or undefined if it is no time that a tar header can hold. */
export function seconds(created) {
  if (typeof created !== 'string' || !INSTANT.test(created)) return undefined;
  const time = Date.parse(created);
  if (Number.isNaN(time) || new Date(time).toISOString() !== created.replace('Z', '.000Z')) return undefined;
  return time >= 0 && time / 1000 < 8 ** 11 ? time / 1000 : undefined;
}

function checkFacts(facts) {
  const get = (name) => facts.get(name);
  must(typeof get('version') === 'number', 'header', 'facts: version is no number');
  must(get('version') === 2, 'magic', 'an archive of another version');
  must(typeof get('id') === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(get('id')), 'header', 'facts: id is no UUID');
  must(seconds(get('created_at')) !== undefined, 'header', 'facts: created_at is no time');
  must(['full', 'database', 'vault'].includes(get('backup_type')), 'header', 'facts: backup_type is unknown');
  for (const name of ['includes_db', 'includes_kv', 'includes_audit']) must(typeof get(name) === 'boolean', 'header', `facts: ${name} is no boolean`);
  for (const name of ['system', 'tool', 'about']) must(!facts.has(name) || typeof get(name) === 'string', 'header', `facts: ${name} is no string`);
  must(!facts.has('signer') || base64(get('signer'), 32), 'header', 'facts: signer is no key');
}

function checkSlots(object) {
  const slots = object.get('slots');
  must(Array.isArray(slots) && slots.length >= 1 && slots.length <= 64, 'slots', 'no array of 1 to 64 slots');
  const passwords = [];
  const recipients = [];
  let asymmetric = false;
  let transit = false;
  for (const slot of slots) {
    must(slot instanceof Map && typeof slot.get('type') === 'string', 'slots', 'a slot without a type');
    const type = slot.get('type');
    const get = (name) => slot.get(name);
    const check = (condition, name) => must(condition, 'slots', `a ${type} slot whose ${name} is wrong`);
    if (type === 'password') {
      check(get('kdf') === 'argon2id', 'kdf');
      check(isCount(get('t')) && get('t') >= 1 && get('t') <= 16, 't');
      check(isCount(get('p')) && get('p') >= 1 && get('p') <= 16, 'p');
      check(isCount(get('m')) && get('m') >= 8 * get('p') && get('m') <= 262144, 'm');
      const found = { t: get('t'), m: get('m'), p: get('p') };
      for (const [name, size] of [['salt', 16], ['check', 32], ['wrapped', 48]]) {
        found[name] = base64(get(name), size);
        check(found[name], name);
      }
      passwords.push(found);
    } else if (type === 'x25519' || type === 'mlkem768-x25519') {
      asymmetric = true;
      check(isHex(get('key'), 16), 'key');
      const sealed = base64(get('sealed'), (type === 'x25519' ? 32 : 1120) + 48);
      check(sealed, 'sealed');
      if (type === 'x25519') recipients.push({ key: get('key'), sealed });
    } else if (type === 'transit') {
      asymmetric = true;
      transit = true;
      for (const name of ['mount', 'name', 'wrapped']) check(typeof get(name) === 'string' && get(name), name);
    }
  }
  must(passwords.length <= 8, 'slots', 'more than 8 slots of a password');
  must(passwords.reduce((sum, { t, m }) => sum + t * m, 0) <= 2097152, 'slots', 'slots of passwords that ask for too much work');
  must(!transit || slots.some((slot) => slot.get('type') !== 'transit'), 'slots', 'slots of Transit alone');
  return { passwords, recipients, asymmetric };
}

/** The private key (32 bytes) of a text of section 12: a line, and lines of comments. */
export function privateKey(source) {
  const lines = source.split(/\r?\n/).filter((line) => line.trim() && !line.startsWith('#'));
  const [, name, encoded] = /^(kleidia-secret-x25519):(\S+)$/.exec(lines.length === 1 ? lines[0] : '') ?? [];
  const bytes = base64(encoded, 36);
  const fits = bytes && sha256(Buffer.from(`${name}:`), bytes.subarray(0, 32)).subarray(0, 4).equals(bytes.subarray(32));
  if (!fits) throw new Error('no text of a private key for x25519, or one with a typing error');
  return bytes.subarray(0, 32);
}

/** A private key as node has it, and its public key's 32 bytes. */
function x25519(raw) {
  const key = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), raw]), format: 'der', type: 'pkcs8' });
  return { key, public: createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32) };
}

const hmac = (key, ...parts) => parts.reduce((hash, part) => hash.update(part), createHmac('sha256', key)).digest();

/** HPKE (RFC 9180), mode base: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. Throws what does not open. */
export function hpkeOpen(mine, sealed, info) {
  const version = Buffer.from('HPKE-v1');
  const kem = Buffer.from('KEM\0\x20', 'latin1');
  const suite = Buffer.from('HPKE\0\x20\0\x01\0\x02', 'latin1');
  const extract = (id, salt, label, input) => hmac(salt, version, id, Buffer.from(label), input);
  const expand = (id, key, label, more, size) => hmac(key, Buffer.from([0, size]), version, id, Buffer.from(label), more, Buffer.from([1])).subarray(0, size);
  const none = Buffer.alloc(0);
  const encapsulated = sealed.subarray(0, 32);
  const spki = Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), encapsulated]);
  const dh = diffieHellman({ privateKey: mine.key, publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }) });
  const shared = expand(kem, extract(kem, none, 'eae_prk', dh), 'shared_secret', Buffer.concat([encapsulated, mine.public]), 32);
  const context = Buffer.concat([Buffer.from([0]), extract(suite, none, 'psk_id_hash', none), extract(suite, none, 'info_hash', info)]);
  const secret = extract(suite, shared, 'secret', none);
  const cipher = createDecipheriv('aes-256-gcm', expand(suite, secret, 'key', context, 32), expand(suite, secret, 'base_nonce', context, 12), { authTagLength: 16 });
  cipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([cipher.update(sealed.subarray(32, -16)), cipher.final()]);
}

function openRecipients(recipients, raw, factsDigest) {
  const mine = x25519(raw);
  const id = sha256(mine.public).subarray(0, 8).toString('hex');
  for (const slot of recipients.filter(({ key }) => key === id)) {
    try {
      return hpkeOpen(mine, slot.sealed, Buffer.concat([Buffer.from('kleidia-backup/v2 slot'), factsDigest]));
    } catch {
      fail('slots', 'the slot of this private key is damaged');
    }
  }
  return fail('password', 'no slot is for this private key');
}

async function openPasswords(passwords, password, factsDigest) {
  must(password.length > 0, 'password', 'the password is empty');
  for (const slot of passwords) {
    const out = Buffer.from(
      await argon2id({ password, salt: slot.salt, iterations: slot.t, parallelism: slot.p, memorySize: slot.m, hashLength: 64, outputType: 'binary' }),
    );
    if (!timingSafeEqual(out.subarray(32), slot.check)) continue;
    const cipher = createDecipheriv('aes-256-gcm', out.subarray(0, 32), Buffer.alloc(12), { authTagLength: 16 });
    cipher.setAAD(Buffer.concat([Buffer.from('kleidia-backup/v2 slot'), factsDigest]));
    cipher.setAuthTag(slot.wrapped.subarray(32));
    try {
      return Buffer.concat([cipher.update(slot.wrapped.subarray(0, 32)), cipher.final()]);
    } catch {
      fail('slots', 'the password fits a slot whose wrapped key is damaged');
    }
  }
  return fail('password', 'no slot fits this password');
}

// ---- Body (section 5, FLOE) ----

/** FLOE's parameters: segments of `segment` bytes, and a new key for each 2^`mask` of them (this format's, or those of test vectors). */
export const parameters = (segment = SEGMENT, mask = 20) => {
  const encoded = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 32]);
  encoded.writeUInt32BE(segment, 2);
  return { segment, mask, encoded };
};
const OURS = parameters();

/** HKDF-Expand-SHA-384 over FLOE's info; the key may be shorter than the hash. */
export function floeKdf(key, iv, aad, purpose, size, params = OURS) {
  const info = Buffer.concat([params.encoded, iv, purpose, aad]);
  let block = Buffer.alloc(0);
  const blocks = [];
  for (let i = 1; blocks.length * 48 < size; i += 1) {
    block = createHmac('sha384', key).update(block).update(info).update(Buffer.from([i])).digest();
    blocks.push(block);
  }
  return Buffer.concat(blocks).subarray(0, size);
}

export function segmentKey(messageKey, iv, aad, position, params = OURS) {
  const masked = Buffer.alloc(8);
  masked.writeBigUInt64BE((BigInt(position) >> BigInt(params.mask)) << BigInt(params.mask));
  return floeKdf(messageKey, iv, aad, Buffer.concat([Buffer.from('DEK:'), masked]), 32, params);
}

export class Body {
  /** `file` reads (offset, size) and knows its size; the body begins at `start`. */
  constructor(file, start, key, aad, params = OURS) {
    this.params = params;
    const header = file.read(start, 74);
    must(header.subarray(0, 10).equals(params.encoded), 'seal', 'the body has other parameters');
    this.iv = header.subarray(10, 42);
    this.aad = aad;
    must(timingSafeEqual(floeKdf(key, this.iv, aad, Buffer.from('HEADER_TAG:'), 32, params), header.subarray(42)), 'seal', 'the header of the body is damaged');
    this.messageKey = floeKdf(key, this.iv, aad, Buffer.from('MESSAGE_KEY:'), 48, params);
    this.file = file;
    this.start = start + 74;
    const sealed = file.size - this.start;
    this.last = Math.ceil(sealed / params.segment) - 1;
    this.lastSize = sealed - this.last * params.segment;
    must(this.lastSize >= 32, 'seal', 'the last segment is cut');
    this.keys = new Map();
    this.cached = -1;
    const tail = this.segment(this.last);
    this.size = this.last * (params.segment - 32) + tail.length;
    this.tail = tail;
  }

  segment(position) {
    if (position === this.cached) return this.plain;
    if (this.tail && position === this.last) return this.tail;
    const final = position === this.last;
    const sealed = this.file.read(this.start + position * this.params.segment, final ? this.lastSize : this.params.segment);
    must(sealed.readUInt32BE(0) === (final ? this.lastSize : 0xffffffff), 'seal', `segment ${position} has a wrong length field`);
    const block = Math.floor(position / 2 ** this.params.mask);
    if (!this.keys.has(block)) this.keys.set(block, segmentKey(this.messageKey, this.iv, this.aad, position, this.params));
    const cipher = createDecipheriv('aes-256-gcm', this.keys.get(block), sealed.subarray(4, 16), { authTagLength: 16 });
    const aad = Buffer.alloc(9);
    aad.writeBigUInt64BE(BigInt(position));
    aad[8] = final ? 1 : 0;
    cipher.setAAD(aad);
    cipher.setAuthTag(sealed.subarray(-16));
    let plain;
    try {
      plain = Buffer.concat([cipher.update(sealed.subarray(16, -16)), cipher.final()]);
    } catch {
      fail('seal', `segment ${position} is damaged`);
    }
    this.cached = position;
    this.plain = plain;
    return plain;
  }

  read(offset, size) {
    const out = Buffer.alloc(size);
    const each = this.params.segment - 32;
    for (let done = 0; done < size; ) {
      const position = Math.floor((offset + done) / each);
      const plain = this.segment(position);
      const from = offset + done - position * each;
      const copied = plain.copy(out, done, from, Math.min(plain.length, from + size - done));
      must(copied > 0, 'seal', 'the payload ends too early');
      done += copied;
    }
    return out;
  }
}

// ---- Tar (section 6) ----

const octal = (value, digits) => value.toString(8).padStart(digits, '0');
export const padded = (size) => Math.ceil(size / 512) * 512;

/** The one form that a member's header has. */
export function tarHeader(name, size, time) {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000600\0' + '0000000\0' + '0000000\0' + `${octal(size, 11)}\0${octal(time, 11)}\0` + '        ' + '0', 100, 'latin1');
  block.write('ustar\0' + '00', 257, 'latin1');
  block.write('0000000\0' + '0000000\0', 329, 'latin1');
  const sum = block.reduce((a, b) => a + b, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, 'latin1');
  return block;
}

// ---- zstd ----

/** Where the frame at `at` ends, its content size (undefined if not stored) and its window; checks all headers of blocks. */
function frame(bytes, at, layer, what) {
  const need = (to) => must(to <= bytes.length, layer, `${what}: the zstd frame is cut`);
  need(at + 5);
  must(bytes.readUInt32LE(at) === 0xfd2fb528, layer, `${what}: no zstd frame`);
  const descriptor = bytes[at + 4];
  const single = (descriptor & 0x20) !== 0;
  const flag = descriptor >> 6;
  must((descriptor & 0x08) === 0, layer, `${what}: a reserved bit of the zstd frame is set`);
  let pos = at + 5;
  let window = 0n;
  if (!single) {
    need(pos + 1);
    const base = 1n << BigInt(10 + (bytes[pos] >> 3));
    window = base + (base / 8n) * BigInt(bytes[pos] & 7);
    pos += 1;
  }
  const idSize = [0, 1, 2, 4][descriptor & 3];
  need(pos + idSize);
  must(bytes.subarray(pos, pos + idSize).every((b) => b === 0), layer, `${what}: the zstd frame wants a dictionary`);
  pos += idSize;
  const sizeSize = flag === 0 ? (single ? 1 : 0) : 2 ** flag;
  need(pos + sizeSize);
  let content;
  if (sizeSize === 1) content = BigInt(bytes[pos]);
  else if (sizeSize === 2) content = BigInt(bytes.readUInt16LE(pos) + 256);
  else if (sizeSize === 4) content = BigInt(bytes.readUInt32LE(pos));
  else if (sizeSize === 8) content = bytes.readBigUInt64LE(pos);
  if (single) window = content;
  pos += sizeSize;
  for (let last = false; !last; ) {
    need(pos + 3);
    const head = bytes.readUIntLE(pos, 3);
    last = (head & 1) === 1;
    const type = (head >> 1) & 3;
    const size = head >> 3;
    must(type !== 3 && size <= 131072, layer, `${what}: a broken zstd block`);
    pos += 3 + (type === 1 ? 1 : size);
    need(pos);
  }
  const checksum = (descriptor & 4) !== 0;
  if (checksum) {
    need(pos + 4);
    pos += 4;
  }
  return { end: pos, content, window, checksum };
}

async function checkXxh(bytes, content, layer, what) {
  const found = BigInt(`0x${await xxhash64(content)}`) & 0xffffffffn;
  must(found === BigInt(bytes.readUInt32LE(bytes.length - 4)), layer, `${what}: the zstd checksum is wrong`);
}

/** A chunk's content. */
async function unzstd(bytes, raw, what) {
  const found = frame(bytes, 0, 'zstd', what);
  must(found.content !== undefined, 'zstd', `${what}: the zstd frame has no content size`);
  must(found.content === BigInt(raw), 'zstd', `${what}: the content size is not the index's`);
  must(found.window <= BigInt(MAX_RAW), 'zstd', `${what}: the zstd frame wants too large a window`);
  must(found.end === bytes.length, 'zstd', `${what}: something stands behind the zstd frame`);
  let size = 0;
  const out = Buffer.alloc(raw);
  const take = (piece) => {
    must(size + piece.length <= raw, 'zstd', `${what}: more content than the frame says`);
    out.set(piece, size);
    size += piece.length;
  };
  try {
    // In pieces: only so does the library tell how much there is.
    new Decompress(take).push(bytes, true);
  } catch (error) {
    if (error instanceof Fault) throw error;
    fail('zstd', `${what}: the zstd frame is damaged`);
  }
  must(size === raw, 'zstd', `${what}: less content than the frame says`);
  if (found.checksum) await checkXxh(bytes, out, 'zstd', what);
  return out;
}

// ---- Index (section 8) ----

/** The parsed lines of an index as stored; at most `most` of them. */
async function indexLines(stored, most) {
  const lines = [];
  let rest = [];
  let held = 0;
  let total = 0n;
  const take = (piece) => {
    total += BigInt(piece.length);
    must(total <= MAX_INDEX_RAW, 'index', 'the index is too long');
    let start = 0;
    for (;;) {
      const end = piece.indexOf(10, start);
      const part = piece.subarray(start, end < 0 ? piece.length : end + 1);
      held += part.length;
      must(held <= MAX_LINE, 'index', 'a line of the index is too long');
      if (part.length) rest.push(Buffer.from(part));
      if (end < 0) return;
      must(lines.length < most, 'index', 'more lines in the index than the payload can have members');
      lines.push(parseObject(text(Buffer.concat(rest), 'index', 'a line of the index'), 'index', 'a line of the index'));
      rest = [];
      held = 0;
      start = end + 1;
    }
  };
  let frames = 0;
  for (let at = 0; at < stored.length; ) {
    frames += 1;
    must(frames <= 1024, 'index', 'too many frames in the index');
    const found = frame(stored, at, 'index', 'the index');
    must(found.window <= BigInt(MAX_WINDOW), 'index', 'the index wants too large a window');
    const bytes = stored.subarray(at, found.end);
    let size = 0n;
    const pieces = [];
    try {
      const stream = new Decompress((piece) => {
        size += BigInt(piece.length);
        must(found.content === undefined || size <= found.content, 'index', 'more content than a frame of the index says');
        if (found.checksum) pieces.push(Buffer.from(piece));
        take(piece);
      });
      stream.push(bytes, true);
    } catch (error) {
      if (error instanceof Fault) throw error;
      fail('index', 'a zstd frame of the index is damaged');
    }
    must(found.content === undefined || size === found.content, 'index', 'less content than a frame of the index says');
    if (found.checksum) await checkXxh(bytes, Buffer.concat(pieces), 'index', 'the index');
    at = found.end;
  }
  must(held === 0, 'index', 'the last line of the index has no end');
  return lines;
}

/** Members in their order, and the COPY statements, of an index that contradicts neither itself nor the facts. */
function checkIndex(lines, facts, indexHeader) {
  const bad = (condition, message) => must(condition, 'index', message);
  bad(lines.length >= 2, 'the index has no begin and end');
  const count = (line, name) => {
    bad(isCount(line.get(name)), `${name} of a line of the index is no count`);
    return line.get(name);
  };
  const digest = (line, name) => {
    bad(isHex(line.get(name), 64), `${name} of a line of the index is no SHA-256`);
    return line.get(name);
  };
  const begin = lines[0];
  bad(begin.get('k') === 'begin', 'the first line is not that of meta/begin.json');
  const members = [{ kind: 'begin', name: 'meta/begin.json', n: count(begin, 'n'), h: digest(begin, 'h') }];
  bad(members[0].n <= 1048576, 'meta/begin.json is too long');
  const copies = [];
  let chunks = 0;
  let secrets = 0n;
  let sql = 0n;
  let listed = 0; // COPY lines so far: they stand behind all chunks
  let open; // the chunk before, if it goes on in the next one
  let kv = false;
  let offset = 512 + padded(members[0].n);
  for (const line of lines.slice(1, -1)) {
    const kind = line.get('k');
    if (kind === 'copy') {
      const t = count(line, 't');
      bad(t === listed, 'the lines of COPY are not in their order');
      listed += 1;
      bad(listed <= 262144, 'too many COPY statements');
      const copy = copies[t];
      bad(copy, 'a COPY line without its chunks before it');
      bad(!open, 'a COPY line inside a row or statement');
      bad(typeof line.get('copy') === 'string' && line.get('copy') !== '', 'a COPY line without its statement');
      copy.copy = line.get('copy');
      copy.h = line.has('h') ? digest(line, 'h') : undefined;
      bad(BigInt(count(line, 'rows')) === copy.rows, `COPY ${t}: its rows are not those of its chunks`);
      bad(BigInt(count(line, 'bytes')) === copy.bytes, `COPY ${t}: its bytes are not those of its chunks`);
      const size = Buffer.byteLength(copy.copy) + 1;
      bad(copy.heads.every((head) => head === size), `COPY ${t}: a head of another length`);
      sql += copy.bytes + BigInt(size + 3);
      continue;
    }
    bad(['sql', 'rows', 'kv'].includes(kind), 'a line of an unknown kind');
    bad(listed === 0, 'a chunk behind a COPY line');
    const chunk = { kind, number: chunks, n: count(line, 'n'), raw: count(line, 'raw'), h: digest(line, 'h'), more: false };
    bad(chunk.raw >= 1 && chunk.raw <= MAX_RAW && chunk.n <= MAX_STORED, `chunk ${chunks} is empty or too large`);
    bad(chunks < 2097152, 'too many chunks');
    const number = String(chunks).padStart(8, '0');
    chunks += 1;
    bad(!line.has('more') || (line.get('more') === true && kind !== 'kv'), 'more is not true, or stands at secrets');
    bad(!line.has('paths') || (kind === 'kv' && Array.isArray(line.get('paths')) && line.get('paths').every((path) => typeof path === 'string')), 'paths are not texts, or stand at SQL');
    if (kind !== 'kv') {
      bad(facts.get('includes_db'), 'SQL in an archive without a database');
      bad(!kv, 'SQL behind secrets');
      chunk.more = line.has('more');
    }
    if (open) bad(open.kind === kind && (kind !== 'rows' || open.t === line.get('t')), 'a chunk does not go on where it must');
    chunk.continues = open;
    if (kind === 'sql') {
      chunk.name = `db/${number}.sql.zst`;
      sql += BigInt(chunk.raw);
    } else if (kind === 'rows') {
      chunk.t = count(line, 't');
      chunk.rows = line.has('rows') ? count(line, 'rows') : 0;
      chunk.head = line.has('head') ? count(line, 'head') : 0;
      chunk.tail = line.has('tail') ? count(line, 'tail') : 0;
      bad(chunk.t <= copies.length, 'the COPY statements are not numbered in their order');
      if (chunk.t === copies.length) copies.push({ t: chunk.t, rows: 0n, bytes: 0n, heads: [] });
      const copy = copies[chunk.t];
      bad(open ? chunk.head === 0 : chunk.head > 0, 'a head where none may be, or none where one must be');
      bad(chunk.tail === (chunk.more ? 0 : 3), 'a tail where none may be, or none where one must be');
      bad(chunk.head + chunk.tail <= chunk.raw, 'head and tail are longer than their chunk');
      if (!open) copy.heads.push(chunk.head);
      copy.rows += BigInt(chunk.rows);
      copy.bytes += BigInt(chunk.raw - chunk.head - chunk.tail);
      chunk.copy = copy;
      chunk.name = `db/${number}.t${String(chunk.t).padStart(4, '0')}.zst`;
    } else {
      bad(facts.get('includes_kv'), 'secrets in an archive without them');
      kv = true;
      chunk.secrets = count(line, 'secrets');
      bad(chunk.secrets <= 65536, 'too many secrets in a chunk');
      chunk.paths = line.get('paths');
      bad(!chunk.paths || chunk.paths.length === chunk.secrets, 'another number of paths than of secrets');
      secrets += BigInt(chunk.secrets);
      chunk.name = `kv/${number}.jsonl.zst`;
    }
    open = chunk.more ? chunk : undefined;
    members.push(chunk);
    offset += 512 + padded(chunk.n);
    bad(offset <= indexHeader, 'the members reach beyond the header of the index');
  }
  bad(!open, 'the last chunk goes on nowhere');
  bad(listed === copies.length, 'a COPY without its line');
  bad(offset === indexHeader, 'the members do not end where the header of the index begins');
  const end = lines.at(-1);
  bad(end.get('k') === 'end', 'the last line is not the end');
  const rows = copies.reduce((sum, copy) => sum + copy.rows, 0n);
  for (const [name, value] of [['chunks', chunks], ['copies', copies.length], ['rows', rows], ['secrets', secrets], ['sql_bytes', sql]]) {
    bad(BigInt(count(end, name)) === BigInt(value), `the total of ${name} is wrong`);
  }
  return { members, copies, chunks, rows, secrets, sql };
}

// ---- Chunks (section 7) ----

/** Counts rows as the server does: an LF behind a backslash that is itself not escaped is part of a value. */
class Rows {
  constructor(what) {
    this.what = what;
    this.clear();
    this.inside = false;
  }

  clear() {
    this.start = Buffer.alloc(0);
    this.slashes = 0;
    this.length = 0;
  }

  feed(bytes) {
    let rows = 0;
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(10, from);
      const part = bytes.subarray(from, end < 0 ? bytes.length : end);
      let slashes = 0;
      while (slashes < part.length && part[part.length - 1 - slashes] === 0x5c) slashes += 1;
      this.slashes = slashes === part.length ? this.slashes + slashes : slashes;
      if (this.start.length < 4) this.start = Buffer.concat([this.start, part.subarray(0, 4)]).subarray(0, 4);
      this.length += part.length;
      if (end < 0) {
        if (part.length) this.inside = true;
        return rows;
      }
      const line = this.start.toString('latin1');
      must(!(this.length <= 3 && (line === '\\.' || line === '\\.\r')), 'payload', `${this.what}: an end of COPY among the rows`);
      this.inside = this.slashes % 2 === 1;
      if (!this.inside) rows += 1;
      this.clear();
      from = end + 1;
    }
  }
}

function* secretsOf(bytes, what) {
  let from = 0;
  while (from < bytes.length) {
    const end = bytes.indexOf(10, from);
    must(end >= 0, 'payload', `${what}: the last line has no end`);
    const line = parseObject(text(bytes.subarray(from, end), 'payload', what), 'payload', what, 'value');
    must(typeof line.get('path') === 'string' && line.get('path') !== '', 'payload', `${what}: a secret without a path`);
    must(line.has('value') !== line.has('newest'), 'payload', `${what}: a secret with neither a value nor a reason, or both`);
    if (line.has('newest')) {
      must(['"deleted"', '"destroyed"', '"none"'].includes(line.get('newest')), 'payload', `${what}: an unknown reason`);
      must(line.has('version') === (line.get('newest') !== '"none"'), 'payload', `${what}: a version too much or too little`);
      yield { path: line.get('path'), newest: JSON.parse(line.get('newest')) };
      from = end + 1;
      continue;
    }
    must(Buffer.byteLength(line.get('value')) <= 8388608, 'payload', `${what}: a secret that is too large`);
    yield { path: line.get('path'), sha256: sha256(Buffer.from(line.get('value'))).toString('hex') };
    from = end + 1;
  }
}

// ---- The whole ----

function openFile(path) {
  const handle = openSync(path, 'r');
  const size = fstatSync(handle).size;
  return {
    size,
    read(offset, count) {
      const out = Buffer.alloc(count);
      for (let done = 0; done < count; ) {
        const got = readSync(handle, out, done, count - done, offset + done);
        must(got > 0, 'seal', 'the file became shorter while it was read');
        done += got;
      }
      return out;
    },
    close: () => closeSync(handle),
  };
}

/** `file` is a path or a Buffer; `secret` a password (a Buffer of UTF-8) or `{ x25519: the 32 bytes of a private key }`. */
export async function readArchive(file, secret, trusted = []) {
  const source = Buffer.isBuffer(file)
    ? { size: file.length, read: (offset, count) => file.subarray(offset, offset + count), close: () => {} }
    : openFile(file);
  try {
    return await readSource(source, secret, trusted);
  } finally {
    source.close();
  }
}

async function readSource(file, secret, trusted) {
  // Magic.
  const magic = file.read(0, Math.min(17, file.size));
  must(magic.length === 17 && magic.subarray(0, 16).equals(MAGIC.subarray(0, 16)), 'magic', 'no archive');
  if (!magic.equals(MAGIC)) fail('magic', magic[16] >= 0x30 && magic[16] <= 0x39 ? 'an archive of another version' : 'no archive');

  // Facts.
  must(file.size >= 21, 'header', 'the head is cut');
  const F = file.read(17, 4).readUInt32BE(0);
  must(F <= 65536, 'header', 'the facts are too long');
  must(file.size >= 25 + F, 'header', 'the head is cut');
  const head = file.read(0, 21 + F);
  const facts = parseObject(text(head.subarray(21), 'header', 'facts'), 'header', 'facts');
  checkFacts(facts);
  const factsDigest = sha256(head);

  // Slots.
  const K = file.read(21 + F, 4).readUInt32BE(0);
  must(K >= 4096 && K <= 65536 && K % 4096 === 0, 'header', 'the slots have no right length');
  must(file.size >= 57 + F + K + 74 + 32, 'header', 'the head is cut');
  const signed = file.read(0, 25 + F + K);
  const mac = file.read(25 + F + K, 32);
  const { passwords, recipients, asymmetric } = checkSlots(parseObject(text(signed.subarray(25 + F), 'slots', 'slots'), 'slots', 'slots'));
  const dataKey = Buffer.isBuffer(secret) ? await openPasswords(passwords, secret, factsDigest) : openRecipients(recipients, secret.x25519, factsDigest);

  // MAC.
  const derive = (info) => Buffer.from(hkdfSync('sha256', dataKey, Buffer.alloc(0), info, 32));
  const expected = createHmac('sha256', derive('kleidia-backup/v2 header')).update(signed).digest();
  must(timingSafeEqual(expected, mac), 'header', 'the MAC of the head is wrong');
  const signer = facts.has('signer') ? base64(facts.get('signer'), 32) : undefined;
  must(signer || !asymmetric, 'signature', 'a slot of a public key or of Transit without a signature');

  // Body and locator.
  const body = new Body(file, 57 + F + K, derive('kleidia-backup/v2 payload'), factsDigest);
  must(body.size >= 10240 && body.size % 10240 === 0, 'index', 'the size of the payload is no multiple of 10,240');
  const locator = body.read(body.size - 512, 512);
  must(locator.subarray(0, 8).toString('latin1') === 'KLEIDIA2', 'index', 'no locator');
  must(locator.subarray(72).every((b) => b === 0), 'index', 'the rest of the locator is not zero');
  must(locator.readBigUInt64BE(56) === BigInt(body.size), 'index', "the locator's size of the payload is wrong");
  const sigSize = locator.readBigUInt64BE(64);
  must(sigSize === 0n || sigSize === 64n, 'index', "the locator's size of the signature is wrong");
  must((sigSize === 64n) === (signer !== undefined), 'signature', signer ? 'the signature is missing' : 'a signature without a signer');
  const size64 = locator.readBigUInt64BE(16);
  const at64 = locator.readBigUInt64BE(8);
  must(size64 <= BigInt(MAX_INDEX), 'index', 'the index is too long');
  must(at64 % 512n === 0n && at64 >= 1024n && at64 < BigInt(body.size), 'index', 'the index cannot be where the locator says');
  const at = Number(at64);
  const size = Number(size64);
  const end = at + padded(size) + (signer ? 1024 : 0); // of the last member
  must(Math.ceil((end + 1024 + 512) / 10240) * 10240 === body.size, 'index', 'the index reaches beyond the payload, or more zero bytes than needed follow');

  // Index and signature.
  const stored = body.read(at, size);
  const indexDigest = sha256(stored);
  must(indexDigest.equals(locator.subarray(24, 56)), 'index', 'the SHA-256 of the index is wrong');
  if (signer) {
    const signature = body.read(at + padded(size) + 512, 64);
    const message = Buffer.concat([Buffer.from('kleidia-backup/v2 signature\n'), factsDigest, indexDigest]);
    let right = false;
    try {
      const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), signer]);
      right = verify(null, message, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature);
    } catch {
      right = false;
    }
    must(right, 'signature', 'the signature is wrong');
  }
  const lines = await indexLines(stored, 2 * Math.floor(at / 1024) + 2);
  const index = checkIndex(lines, facts, at - 512);

  // One pass over the payload.
  const time = seconds(facts.get('created_at'));
  let offset = 0;
  const member = (name, length) => {
    must(body.read(offset, 512).equals(tarHeader(name, length, time)), 'tar', `the header of ${name} is wrong`);
    const content = body.read(offset + 512, padded(length));
    must(content.subarray(length).every((b) => b === 0), 'tar', `what fills the block behind ${name} is not zero`);
    offset += 512 + content.length;
    return content.subarray(0, length);
  };
  const script = createHash('sha256');
  const all = { payload: createHash('sha256'), db: createHash('sha256'), kv: createHash('sha256') };
  let scriptBytes = 0n;
  const add = (bytes) => {
    script.update(bytes);
    scriptBytes += BigInt(bytes.length);
  };
  const secrets = [];
  const paths = new Set();
  for (const [position, chunk] of index.members.entries()) {
    const content = member(chunk.name, chunk.n);
    must(sha256(content).toString('hex') === chunk.h, 'chunk', `the SHA-256 of ${chunk.name} is wrong`);
    if (chunk.kind === 'begin') continue;
    const raw = await unzstd(content, chunk.raw, chunk.name);
    all[chunk.kind === 'kv' ? 'kv' : 'db'].update(raw);
    if (chunk.kind === 'sql') add(raw);
    else if (chunk.kind === 'rows') {
      const { copy } = chunk;
      const before = index.members[position - 1];
      const next = index.members[position + 1];
      const headBytes = raw.subarray(0, chunk.head);
      const tailBytes = raw.subarray(raw.length - chunk.tail);
      if (chunk.head) must(headBytes.equals(Buffer.from(`${copy.copy}\n`)), 'payload', `the head of ${chunk.name} is not its COPY statement`);
      if (chunk.tail) must(tailBytes.toString('latin1') === '\\.\n', 'payload', `the tail of ${chunk.name} is none`);
      const rows = raw.subarray(chunk.head, raw.length - chunk.tail);
      const counter = chunk.continues?.counter ?? new Rows(chunk.name);
      must(counter.feed(rows) === chunk.rows, 'payload', `the rows of ${chunk.name} are not those of the index`);
      if (chunk.more) chunk.counter = counter;
      else must(!counter.inside, 'payload', `${chunk.name} ends inside a row`);
      copy.hash ??= createHash('sha256');
      copy.hash.update(rows);
      if (!(before.kind === 'rows' && before.t === chunk.t)) add(headBytes);
      add(rows);
      if (!(next?.kind === 'rows' && next.t === chunk.t)) add(tailBytes);
    } else {
      let found = 0;
      for (const secret of secretsOf(raw, chunk.name)) {
        must(!paths.has(secret.path), 'payload', `${JSON.stringify(secret.path)} stands twice`);
        paths.add(secret.path);
        must(!chunk.paths || chunk.paths[found] === secret.path, 'payload', `the paths of ${chunk.name} are not those of the index`);
        secrets.push(secret);
        found += 1;
      }
      must(found === chunk.secrets, 'payload', `the secrets of ${chunk.name} are not those of the index`);
    }
  }
  const copies = index.copies.map((copy) => {
    const digest = copy.hash.digest('hex');
    must(copy.h === undefined || copy.h === digest, 'payload', `the SHA-256 of the rows of COPY ${copy.t} is wrong`);
    return { t: copy.t, copy: copy.copy, rows: Number(copy.rows), bytes: Number(copy.bytes), sha256: digest };
  });
  member('meta/index.jsonl.zst', size);
  if (signer) member('meta/index.sig', 64);
  while (offset < body.size - 512) {
    const rest = body.read(offset, Math.min(PLAIN, body.size - 512 - offset));
    must(rest.equals(Buffer.alloc(rest.length)), 'tar', 'what fills the payload is not zero');
    offset += rest.length;
  }
  for (let at = 0; at < body.size; at += PLAIN) all.payload.update(body.read(at, Math.min(PLAIN, body.size - at)));
  return {
    facts: Object.fromEntries(facts),
    chunks: index.chunks,
    payload_sha256: all.payload.digest('hex'),
    db_sha256: all.db.digest('hex'),
    kv_sha256: all.kv.digest('hex'),
    sql_sha256: script.digest('hex'),
    sql_bytes: Number(scriptBytes),
    rows: Number(index.rows),
    copies,
    secrets,
    signed: signer !== undefined,
    // What a restore would ask for besides: without a trusted signer an archive with such slots may be looked at only.
    restorable: !asymmetric || trusted.includes(facts.get('signer')),
  };
}

// Maps of ignored members print as objects.
const plain = (_, value) => (value instanceof Map ? Object.fromEntries(value) : value);

async function main(args) {
  let secret;
  if (args[0] === '--password-file') {
    secret = readFileSync(args[1]);
    if (secret.at(-1) === 10) secret = secret.subarray(0, -1);
    args = args.slice(2);
  } else if (args[0] === '--key') {
    secret = { x25519: privateKey(readFileSync(args[1], 'utf8')) };
    args = args.slice(2);
  } else if (process.env.KLEIDIA_PASSWORD) secret = Buffer.from(process.env.KLEIDIA_PASSWORD);
  if (args.length !== 1 || !secret) {
    console.error('KLEIDIA_PASSWORD=… node reader.mjs FILE, or node reader.mjs --password-file FILE FILE, or node reader.mjs --key FILE FILE');
    return 2;
  }
  try {
    console.log(JSON.stringify(await readArchive(args[0], secret, (process.env.KLEIDIA_TRUSTED_SIGNERS ?? '').split(',').filter(Boolean)), plain, 1));
    return 0;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    console.log(JSON.stringify({ error: error.layer, message: error.message }));
    return 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2));
