r"""Open an archive (KLEIDIA_BACKUP_V1) without kleidia-backup. Made from SPEC.md alone; it imports nothing of ours.

The archive is only read. You need Python 3.11, psql, and the password. Memory: 100 MiB, however large the archive is.
1. python3 -m venv r && r/bin/pip install cryptography argon2-cffi
2. r/bin/python recover.py ARCHIVE --output DIRECTORY         (asks for the password; or --password-file F)
   DIRECTORY is new, and everything in it is in clear text: put it where nobody else reads, delete it afterwards. It
   appears only when every byte was checked (until then it is tmp… beside it: look there if the program was killed).
   An error is one line: what is wrong, what to do next. There are two plain files in it, which need no other program
   to look into; one of them if the archive has only that:
3. database.sql: into a new, empty database, which you put in the old one's place when psql ended without an error:
     createdb NEW && psql -X -v ON_ERROR_STOP=1 -f DIRECTORY/database.sql NEW
   (Of the newest minor release: an older psql does not know the \restrict that is in it. It runs what the SQL says,
   programs too.)
4. secrets.jsonl: one secret a line, {"path": "...", "value": {...}}: a value goes into a file, then, where the KV store
   is mounted at M, bao kv put -mount=M PATH @FILE
"""

import argparse
import codecs
import collections
import getpass
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, NoReturn

from argon2.exceptions import Argon2Error
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

BLOCK, NAME, DEPTH, WORDS = 65_536, 65_536, 10_000, {"t": "true", "f": "false", "n": "null"}
TEXT = re.compile(r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')  # of a string, as far as it fits
SPACE, DIGITS = re.compile(r"[ \t\n\r]*+"), re.compile(r"[0-9]*+")
TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:[.][0-9]+)?"
TIME += "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
FLAGS = {"includes_db": "vault", "includes_kv": "database", "includes_audit": "vault"}  # and who has it not


def refuse(layer: str, what: str, step: str = "try another copy of the archive") -> NoReturn:
    """End with one line: the layer as the page calls it, what is wrong, the next step."""
    raise SystemExit(f"recover.py: {layer}: {what}; {step}")


def no(what: str) -> NoReturn:  # noqa: D103
    raise ValueError(what[:60])


def strict(text: str) -> dict[str, Any]:
    """A JSON object without a member twice; ``ValueError`` otherwise."""
    kinds: dict[str, Any] = {"parse_constant": no}
    kinds["object_pairs_hook"] = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else no("a member twice")
    found = json.loads(text, **kinds)
    return found if isinstance(found, dict) else no("not an object")


def check_header(text: bytes) -> dict[str, Any]:
    """Section 3; the absent members are filled in."""
    header, kinds = strict(text.decode()), dict.fromkeys(("created_at", "backup_type", "checksum"), str)
    if type(version := header.get("version")) in (int, float) and version != 1:
        refuse("magic", "an archive of another version", "use the recover.py of that version")
    header = {name: header.get("backup_type") != other for name, other in FLAGS.items()} | header
    wrong = [name for name, kind in (kinds | dict.fromkeys(FLAGS, bool)).items() if type(header.get(name)) is not kind]
    if wrong or type(version) not in (int, float) or header["backup_type"] not in ("full", "database", "vault"):
        no(f"{wrong or 'version or backup_type'}")
    time = re.fullmatch(TIME, header["created_at"]) or no("created_at")
    moment = f"{header['created_at'][:19]}{time[1]}".upper().replace(":60", ":59")
    try:
        datetime.fromisoformat(moment).astimezone(UTC)  # a day that exists
    except OverflowError:
        no("created_at")
    return header if re.fullmatch("[0-9a-fA-F]{64}", header["checksum"]) else no("checksum")


class Json:
    """The payload's text (section 6), block by block; ``out`` gets what is read. ``ValueError`` where it is wrong."""

    def __init__(self, plain: Iterator[bytes]) -> None:
        self.plain, self.data, self.at, self.utf8 = filter(None, plain), "", 0, codecs.getincrementaldecoder("utf-8")()
        self.out: Callable[[str], object] = len

    def more(self) -> bool:  # noqa: D102
        block = next(self.plain, b"")
        self.data, self.at = self.data[self.at :] + self.utf8.decode(block, final=not block), 0
        return bool(block)

    def peek(self) -> str:
        """The next character; empty at the end."""
        while self.at == len(self.data) and self.more():
            pass
        return self.data[self.at : self.at + 1]

    def take(self, choice: str) -> str:
        """The next character, which is one of these."""
        found = self.peek() if self.peek() and self.peek() in choice else no(f"no {choice[0]} where it must be")
        self.at += 1
        self.out(found)
        return found

    def run(self, pattern: re.Pattern[str]) -> int:
        """As many characters as fit; how many."""
        count = 0
        while self.peek() and (found := pattern.match(self.data, self.at)) and found[0]:
            self.out(found[0])
            count, self.at = count + len(found[0]), found.end()
        return count

    def string(self) -> Iterator[str]:
        """The pieces of a string, as they are written."""
        self.take('"')
        while self.data[self.at : self.at + 1] != '"':
            found = TEXT.match(self.data, self.at) or no("text")
            self.out(found[0])
            self.at = found.end()
            yield found[0]
            # What does not fit is the end, an escape that was cut, or wrong.
            if self.data[self.at : self.at + 1] != '"' and (len(self.data) - self.at >= 6 or not self.more()):
                no("a string that is wrong or has no end")
        self.take('"')

    def text(self) -> Iterator[str]:
        """The same, unescaped; half of a surrogate pair is refused."""
        pairs = codecs.getincrementaldecoder("utf-16-le")()
        for piece in self.string():
            yield pairs.decode(json.loads(f'"{piece}"').encode("utf-16-le", "surrogatepass"))
        pairs.decode(b"", final=True)

    def members(self) -> Iterator[str]:
        """The names of an object's members, cut if very long; whoever takes one reads its value."""
        more = self.open("{}")
        while more:
            name = ""
            for piece in self.text():
                name = (name + piece)[: NAME + 1]
            self.colon()
            yield name
            more = self.comma("}")

    def open(self, both: str) -> bool:
        """Whether there is anything in an object or array; the end of an empty one is left."""
        self.take(both[0])
        self.run(SPACE)
        return self.peek() != both[1] or not self.take(both[1])

    def comma(self, end: str) -> bool:
        """Whether another one comes behind a value."""
        self.run(SPACE)
        if more := self.take("," + end) == ",":
            self.run(SPACE)
        return more

    def colon(self) -> None:  # noqa: D102
        self.run(SPACE)
        self.take(":")
        self.run(SPACE)

    def number(self) -> None:  # noqa: D102
        if self.peek() == "-":
            self.take("-")
        fits = self.take("0") if self.peek() == "0" else self.run(DIGITS)
        if fits and self.peek() == ".":
            fits = self.take(".") and self.run(DIGITS)
        if fits and self.peek() in ("e", "E"):
            self.take("eE")
            if self.peek() in ("+", "-"):
                self.take("+-")
            fits = self.run(DIGITS)
        if not fits:
            no("no value where it must be")

    def value(self) -> None:
        """Any value, to its last character."""
        ends: list[str] = []  # of what it is inside of
        while True:
            more = False
            if (first := self.peek()) in ("{", "["):
                if more := self.open(both := "{}" if first == "{" else "[]"):
                    ends.append(both[1] if len(ends) < DEPTH else no("nested too deep"))
            elif first == '"':
                collections.deque(self.string(), 0)
            elif first in WORDS:
                for letter in WORDS[first]:
                    self.take(letter)
            else:
                self.number()
            while not more and ends:
                if not (more := self.comma(ends[-1])):
                    ends.pop()
            if not more:
                return
            if ends[-1] == "}":
                collections.deque(self.string(), 0)
                self.colon()


def read_payload(plain: Iterator[bytes], sql: BinaryIO, secrets: BinaryIO) -> dict[str, Any]:
    """Section 6: write SQL and secrets; gives the inner header, empty if there is none."""
    text, seen, inner = Json(plain), set(), io.StringIO()
    text.run(SPACE)
    for name in text.members():
        if name in seen:
            no(f"{name} stands twice")
        known = name in ("header", "database_sql", "vault_secrets")
        seen |= {name} if known else set()
        if not known or text.peek() == "n":
            text.value()
        elif name == "database_sql":
            sql.writelines(piece.encode() for piece in text.text())
        elif name == "vault_secrets":
            for path in text.members():
                if not 0 < len(path) <= NAME:
                    no("a path that is empty or too long")
                secrets.write(f'{{"path": {json.dumps(path, ensure_ascii=False)}, "value": '.encode())
                # Line ends stand between tokens alone: as spaces they mean the same, and a secret stays on its line.
                text.out = lambda piece: secrets.write(re.sub("[\r\n]", " ", piece).encode())
                text.value()
                text.out = len
                secrets.write(b"}\n")
        else:
            text.out = lambda piece: inner.write(piece) if inner.tell() <= NAME else no("header is too long")
            text.value()
            text.out = len
            strict(inner.getvalue())
    text.run(SPACE)
    return strict(inner.getvalue() or "{}") if not text.peek() else no("something stands behind it")


def gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Section 5: members, one after the other, in blocks."""
    member = zlib.decompressobj(31)
    try:
        for data in blocks:
            rest = data
            while rest:
                member = zlib.decompressobj(31) if member.eof else member
                yield member.decompress(rest, BLOCK)
                rest = member.unused_data if member.eof else member.unconsumed_tail
    except zlib.error as exc:
        refuse("gzip", f"damaged ({exc})")
    if not member.eof:
        refuse("gzip", "it ends early")


def blocks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:  # noqa: D103
    file.seek(start)
    while start < end:
        data = file.read(min(BLOCK, end - start)) or refuse("files", "the archive became shorter", "start again")
        start += len(data)
        yield data


def decrypt(file: BinaryIO, start: int, end: int, key: bytes, nonce: bytes) -> Iterator[bytes]:
    """Section 4; the tag is right only when this ends."""
    file.seek(end - 16)
    opener = Cipher(AES(key), GCM(nonce, file.read(16))).decryptor()
    yield from map(opener.update, blocks(file, start, end - 16))
    try:
        opener.finalize()
    except InvalidTag:
        refuse(
            "password", "it does not fit, or somebody changed the archive", "try another password, then another copy"
        )


def check(file: BinaryIO) -> tuple[dict[str, Any], int, int, bytes]:
    """Sections 2 and 3 and the checksum: header, where the ciphertext begins and ends, salt and nonce."""
    end, _, head = file.seek(0, 2), file.seek(0), file.read(21)
    if head[:17] != b"KLEIDIA_BACKUP_V1":
        refuse("magic", "not an archive of version 1", f"check which file this is; it begins with {head[:17]!r}")
    start = 65 + (length := int.from_bytes(head[17:], "big"))
    try:
        if len(head) < 21 or length > 65_536 or end < start:
            no("a length, or the file was cut")
        header, random = check_header(file.read(length)), file.read(44)
    except (ValueError, RecursionError) as exc:
        refuse("header", f"damaged ({exc})".replace("\n", " "))
    digest = hashlib.sha256()
    collections.deque(map(digest.update, blocks(file, start, end)), 0)
    if not 16 <= end - start <= 2**36 - 16 or digest.hexdigest() != header["checksum"].lower():
        refuse("checksum", "damaged: not the bytes that were written")
    return header, start, end, random


def recover(file: BinaryIO, found: tuple[dict[str, Any], int, int, bytes], password: bytes, out: Path) -> None:
    """Write what is in the archive into a directory; ends with one line instead if anything is wrong."""
    header, start, end, random = found
    password = password or refuse("password", "it is empty", "type it")
    key = hash_secret_raw(password, random[:32], 3, 65_536, 4, 32, Type.ID)
    collections.deque(decrypt(file, start, end, key, random[32:]), 0)  # the tag, before anything is used
    plain = gunzip(decrypt(file, start, end, key, random[32:]))
    with (out / "database.sql").open("xb") as sql, (out / "secrets.jsonl").open("xb") as secrets:
        try:
            inner = read_payload(plain, sql, secrets)
            for kind, target in (("includes_db", sql), ("includes_kv", secrets)):
                if not header[kind]:
                    Path(target.name).unlink() if not target.tell() else no(f"there is what {kind} denies")
        except (ValueError, RecursionError) as exc:
            collections.deque(plain, 0)  # a stream that ends early says so
            refuse("payload", f"damaged ({exc})".replace("\n", " "))
    for name in ("backup_type", *FLAGS):
        inside = inner.get(name + "_logs" * (name == "includes_audit"), header[name])
        if type(inside) is not type(header[name]) or inside != header[name]:
            refuse("header", f"somebody changed {name}")


def main() -> None:  # noqa: D103
    parser = argparse.ArgumentParser(description="Open an archive, and write its SQL and its secrets into a directory.")
    parser.add_argument("archive", type=Path)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="a directory that does not exist yet")
    args = parser.parse_args()
    os.umask(0o077)
    try:
        if args.output.exists():
            refuse("files", f"{args.output} exists", "name a directory that does not")
        with args.archive.open("rb") as file, TemporaryDirectory(dir=args.output.parent) as place:
            found = check(file)
            if args.password_file:
                password = re.sub(rb"\r?\n\Z", b"", args.password_file.read_bytes())
            else:
                password = getpass.getpass("Password of the archive: ").encode()
            (whole := Path(place, "whole")).mkdir()
            recover(file, found, password, whole)
            whole.rename(args.output)
    except (OSError, EOFError, ValueError, Argon2Error) as exc:
        refuse("files", str(exc) or "no password was given", "correct the name, or make room on the disk or in memory")


if __name__ == "__main__":
    main()
