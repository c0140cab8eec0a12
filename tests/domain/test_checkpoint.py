"""Signed checkpoints against published keys and notes, and against everything that is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.base.ed25519 import is_signed, public_half, sign
from chopmark.domain.audit import GENESIS
from chopmark.domain.checkpoint import (
    Checkpoint,
    NoteSignature,
    SignedCheckpoint,
    SigningKey,
    VerifierKey,
    check_key_name,
    key_id,
    origin_of,
    parse_signed,
    parse_signing_key,
    parse_verifier,
)
from chopmark.errors import InvalidRequest

# The keys of the example of golang.org/x/mod/sumdb/note, and the public key of sum.golang.org.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
NEUMANN_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NEUMANN_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
# The examples of c2sp.org/tlog-checkpoint and c2sp.org/signed-note.
BEHIND_THE_SOFA = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


@pytest.mark.parametrize("text", [NEUMANN, SUMDB])
def test_published_keys_have_their_id(text: str) -> None:
    key = parse_verifier(text)
    assert str(key) == text
    assert key.id.hex() == text.split("+")[1]


def test_a_published_note_is_signed_by_its_key() -> None:
    note = parse_signed(f"chopmark/x\n0\n{'A' * 43}=\n\n— PeterNeumann {NEUMANN_SIGNATURE}\n")
    (signature,) = note.of_key(parse_verifier(NEUMANN))
    public = parse_verifier(NEUMANN).public
    assert is_signed(public, NEUMANN_TEXT.encode(), signature.signature)
    assert not is_signed(public, NEUMANN_TEXT.upper().encode(), signature.signature)
    assert not is_signed(public, NEUMANN_TEXT.encode(), signature.signature[:-1])


def test_a_published_signing_key_signs_as_published() -> None:
    key = parse_signing_key(NEUMANN_PRIVATE)
    assert str(key) == NEUMANN_PRIVATE
    assert VerifierKey(key.name, public_half(key.seed)) == parse_verifier(NEUMANN)
    signature = SignedCheckpoint(
        Checkpoint(origin="o", size=0, head=GENESIS),
        (NoteSignature(key.name, key.id, sign(key.seed, NEUMANN_TEXT.encode())),),
    )
    assert NEUMANN_SIGNATURE in str(signature)
    assert NEUMANN_PRIVATE[-20:] not in repr(key)


def test_the_example_of_the_specification() -> None:
    note = parse_signed(BEHIND_THE_SOFA)
    assert (note.checkpoint.origin, note.checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert str(note) == BEHIND_THE_SOFA


def test_signatures_of_others_are_left_alone() -> None:
    other = VerifierKey("PeterNeumann", bytes(32))
    note = parse_signed(f"o\n0\n{'A' * 43}=\n\n— PeterNeumann {NEUMANN_SIGNATURE}\n— witness.example/w AAAAAAAA\n")
    assert note.of_key(other) == ()
    assert [s.name for s in note.signatures] == ["PeterNeumann", "witness.example/w"]


GOOD = BEHIND_THE_SOFA
_SIGNATURE_LINE = GOOD.splitlines()[-1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "garbage",
        GOOD[:-1],
        GOOD.replace("\n\n", "\n"),
        GOOD.replace("20852163", "020852163"),
        GOOD.replace("20852163", "-1"),
        GOOD.replace("20852163", "²"),
        GOOD.replace("20852163", "9" * 19),
        GOOD.replace("CsUY", "CsU"),
        GOOD.replace("q2I=", "q2J="),  # the same bytes, written otherwise
        GOOD.replace("—", "-"),
        GOOD.replace("— example.com/behind-the-sofa ", "— example.com/behind the-sofa "),
        GOOD.replace("— example.com/behind-the-sofa ", "— example.com+sofa "),
        GOOD.replace("\n\n", "\nextension\n\n"),
        GOOD.replace("example.com/behind-the-sofa\n2", "\n2"),
        GOOD.replace("\n2", "\r\n2"),
        GOOD + "\n",
        GOOD + "trailing\n",
        GOOD + (_SIGNATURE_LINE + "\n") * 16,
        "x" * 200_000,
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no signed checkpoint"):
        parse_signed(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a+b",
        "name+00000000+AAAA",
        NEUMANN[:-4],
        NEUMANN.replace("c74f20a3", "C74F20A3"),
        NEUMANN.replace("+AR", "+AB"),
    ],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(InvalidRequest, match="not a verifier key"):
        parse_verifier(text)
    with pytest.raises(InvalidRequest, match="signing key"):
        parse_signing_key(text)


def test_a_verifier_key_with_another_id() -> None:
    with pytest.raises(InvalidRequest, match="was changed"):
        parse_verifier(NEUMANN.replace("c74f20a3", "c74f20a4"))


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\u00a0b", "a\x00", "n" * 201])
def test_names_that_no_key_has(name: str) -> None:
    with pytest.raises(InvalidRequest, match="name of a key"):
        check_key_name(name)


def test_the_origin_is_that_of_one_chain() -> None:
    assert origin_of("sha256:" + "0123456789abcdef" * 4) == "chopmark/0123456789abcdef"
    assert origin_of("") == "chopmark/empty"


_NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N"), include_characters="/.-"), min_size=1, max_size=30)


@given(origin=_NAMES, size=st.integers(0, 10**18 - 1), head=st.binary(min_size=32, max_size=32), name=_NAMES, seed=st.binary(min_size=32, max_size=32))  # fmt: skip
def test_what_is_written_is_read_again(origin: str, size: int, head: bytes, name: str, seed: bytes) -> None:
    checkpoint = Checkpoint(origin=origin, size=size, head=f"sha256:{head.hex()}")
    public = public_half(seed)
    key = SigningKey(name, key_id(name, public), seed)
    note = SignedCheckpoint(checkpoint, (NoteSignature(name, key.id, sign(seed, checkpoint.text.encode())),))
    assert parse_signed(str(note)) == note
    assert parse_signing_key(str(key)) == key
    verifier = parse_verifier(str(VerifierKey(name, public)))
    assert is_signed(verifier.public, checkpoint.text.encode(), note.of_key(verifier)[0].signature)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_signed, parse_verifier, parse_signing_key):
        with pytest.raises(InvalidRequest):
            parse(text)
