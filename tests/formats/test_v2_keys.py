"""Keys of format V2: their texts, what is refused as one, and that no secret is ever shown."""

from __future__ import annotations

import base64
import hashlib
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

import kleidia_backup.formats.v2.keys.pairs as module
from kleidia_backup.formats.v2.keys.pairs import KEMS, Kem, PrivateKey, PublicKey, SigningKey, UnsupportedKey, VerifyKey
from kleidia_backup.formats.v2.keys.text import InvalidKey, key_text

SEEDS = st.binary(min_size=32, max_size=32)
#: Looked for in messages.
CANARY = b"canary-secret-key-of-32-bytes-ok"

PARSERS: dict[str, Callable[[str], object]] = {
    "kleidia-public-x25519": PublicKey.parse,
    "kleidia-secret-x25519": PrivateKey.parse,
    "kleidia-public-mlkem768-x25519": PublicKey.parse,
    "kleidia-secret-mlkem768-x25519": PrivateKey.parse,
    "kleidia-public-ed25519": VerifyKey.parse,
    "kleidia-secret-ed25519": SigningKey.parse,
}


def texts(seed: bytes) -> dict[str, str]:
    """One text of each name, of the keys that this seed gives."""
    found: dict[str, str] = {}
    for kem in KEMS:
        private = PrivateKey(kem, seed)
        found |= {f"kleidia-secret-{kem}": private.to_text(), f"kleidia-public-{kem}": private.public.text}
    signing = SigningKey(seed)
    return found | {"kleidia-secret-ed25519": signing.to_text(), "kleidia-public-ed25519": signing.public.text}


@given(SEEDS)
@settings(max_examples=20)
def test_texts(seed: bytes) -> None:
    """Each text is one line that begins with its name, by section 12, and is read as the key it was."""
    for name, text in texts(seed).items():
        assert text.isascii()
        assert text.isprintable()
        assert text.startswith(f"{name}:")
        raw = base64.b64decode(text.partition(":")[2], validate=True)
        assert raw[-4:] == hashlib.sha256(name.encode() + b":" + raw[:-4]).digest()[:4]
        key: Any = PARSERS[name](text)
        assert key.raw == raw[:-4]
        assert (key.to_text() if hasattr(key, "to_text") else key.text) == text
        assert PARSERS[name](f"# made on a day\n\n  {text}\r\n# public: …\n") == key


@pytest.mark.parametrize("name", PARSERS)
def test_single_faults(name: str) -> None:
    """Every character that is changed or missing is noticed, and no other text is taken for a key."""
    text = texts(CANARY)[name]
    parser = PARSERS[name]
    places = (
        range(len(text))
        if len(text) < 200
        else [*range(60), *range(60, len(text) - 20, 37), *range(len(text) - 20, len(text))]
    )
    wrong = [text[:at] + text[at + 1 :] for at in places]
    wrong += [text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :] for at in places]
    wrong += [
        "",
        "\n",
        "#",
        name,
        f"{name}:",
        f"{text} ",
        f"{text}=",
        f"{text}\n{text}",
        f"#{text}",
        text.upper(),
        "ü" + text,
    ]
    wrong.remove(f"{text} ")  # white space around a line is nothing
    for each in wrong:
        with pytest.raises(InvalidKey):
            parser(each)


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("other", PARSERS)
def test_a_key_of_another_kind(name: str, other: str) -> None:
    """A public key is no secret one, a key that signs opens nothing, and a name that was changed is noticed."""
    text = texts(CANARY)[other]
    if PARSERS[name] != PARSERS[other]:
        with pytest.raises(InvalidKey, match="kind"):
            PARSERS[name](text)
    if name != other:
        with pytest.raises(InvalidKey):
            PARSERS[name](text.replace(other, name))


@pytest.mark.parametrize("kem", KEMS)
def test_sizes(kem: Kem) -> None:
    """Keys of another length are refused, however they came."""
    size = {"x25519": 32, "mlkem768-x25519": 1216}[kem]
    for wrong in (0, size - 1, size + 1):
        with pytest.raises(InvalidKey):
            PublicKey(kem, bytes(wrong))
    for wrong in (0, 31, 33):
        for made in (lambda raw: PrivateKey(kem, raw), SigningKey, VerifyKey):
            with pytest.raises(InvalidKey):
                made(bytes(wrong))


@pytest.mark.parametrize("kem", KEMS)
def test_seal_and_open(kem: Kem) -> None:
    """What is sealed for a key opens with it, with the same info, and with nothing else."""
    private = PrivateKey.generate(kem)
    sealed = private.public.seal(b"a data key", b"info")
    assert private.open(sealed, b"info") == b"a data key"
    for key, info in ((private, b"other"), (PrivateKey.generate(kem), b"info")):
        with pytest.raises(InvalidTag):
            key.open(sealed, info)


def test_generate() -> None:
    """Each key is a new one."""
    assert len({PrivateKey.generate(kem).raw for kem in KEMS} | {SigningKey.generate().raw for _ in KEMS}) == 4


def test_public_keys_are_the_library_s() -> None:
    """RFC 7748 and RFC 8032: the public keys of a seed."""
    assert (
        PrivateKey("x25519", CANARY).public.raw
        == X25519PrivateKey.from_private_bytes(CANARY).public_key().public_bytes_raw()
    )
    assert SigningKey(CANARY).public.raw == Ed25519PrivateKey.from_private_bytes(CANARY).public_key().public_bytes_raw()
    # RFC 8032, section 7.1, test 1.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert SigningKey(seed).public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert SigningKey(seed).sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901")


def test_the_hybrid_is_x_wing() -> None:
    """The seed of the first test vector of draft-connolly-cfrg-xwing-kem gives its public key."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    public = PrivateKey("mlkem768-x25519", seed).public.raw.hex()
    assert public.startswith("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5")
    assert public.endswith("859edb06eff389b27dce59844570216223593d4ba32d9abac8cd049040ef6534")


def test_a_key_that_nothing_can_be_sealed_for() -> None:
    """A point of low order is a key of the right length, and gives no secret."""
    with pytest.raises(InvalidKey):
        PublicKey("x25519", bytes(32)).seal(b"a data key", b"info")


def test_no_key_of_ml_kem() -> None:
    """Numbers beyond the modulus are no public key of ML-KEM-768 (FIPS 203, section 7.2)."""
    with pytest.raises(InvalidKey):
        PublicKey("mlkem768-x25519", b"\xff" * 1216)


def test_a_library_without_ml_kem(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for is refused, never replaced; X25519 goes on."""
    text = texts(CANARY)

    class Missing:
        def missing(self, _: bytes) -> None:
            raise UnsupportedAlgorithm("ML-KEM-768 is not supported")

        from_seed_bytes = from_public_bytes = missing

    monkeypatch.setattr(module, "MLKEM768PrivateKey", Missing())
    monkeypatch.setattr(module, "MLKEM768PublicKey", Missing())
    attempts: list[Callable[[], object]] = [
        lambda: PrivateKey.generate("mlkem768-x25519"),
        lambda: PrivateKey.parse(text["kleidia-secret-mlkem768-x25519"]),
        lambda: PublicKey.parse(text["kleidia-public-mlkem768-x25519"]),
    ]
    for attempt in attempts:
        with pytest.raises(UnsupportedKey, match="ML-KEM"):
            attempt()
    assert PrivateKey.parse(text["kleidia-secret-x25519"]).public.seal(b"x", b"")


def test_no_secret_is_said() -> None:
    """Neither bytes nor text of a secret key in repr, str, or the message of any refusal."""
    keys = [*(PrivateKey(kem, CANARY) for kem in KEMS), SigningKey(CANARY)]
    words = [f"{key!r} {key} {key!s:>5}" for key in keys]
    for name, text in texts(CANARY).items():
        if "secret" not in name:
            continue
        attempts = [PublicKey.parse, VerifyKey.parse, PrivateKey.parse, SigningKey.parse]
        for attempt in attempts:
            for wrong in (text[:-1], text + "\n" + text, text.replace(":", ";"), text[20:]):
                with pytest.raises(InvalidKey) as caught:
                    attempt(wrong)
                words.append(repr(caught.value) + "".join(traceback.format_exception(caught.value)))
    for made in (PrivateKey, PublicKey):
        with pytest.raises(InvalidKey) as caught:
            made("x25519", CANARY + CANARY)
        words.append(repr(caught.value))
    encoded = base64.b64encode(CANARY).decode()
    for word in words:
        assert "canary-secret" not in word
        assert encoded[:12] not in word
        assert encoded[12:24] not in word
        assert CANARY.hex() not in word


def test_key_text_of_other_names() -> None:
    """The check covers the name: the same bytes under another name have another text."""
    assert key_text("a", CANARY).partition(":")[2] != key_text("b", CANARY).partition(":")[2]
