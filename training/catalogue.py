#!/usr/bin/env python3
"""Makes models/catalogue.tsv from published model facts (one JSON object a line).

    training/catalogue.py ../shared/data/model-facts.jsonl models/catalogue.tsv

One line a model, sorted by (provider, model) in byte order, ten columns separated by tabs, and an
eleventh where it is known; empty where unknown:
provider, model, mode, input, output and cached-input price (USD per million tokens), most input tokens, most output
tokens, capabilities (letters of t: tools, v: vision, j: JSON schema, r: reasons before it answers; - for none), and
the day on which the provider retires the model; price of input written to a prompt cache. src/catalog/facts.rs reads it.
"""

import json
import sys

LETTERS = {"t": "tools", "v": "vision", "j": "json_schema", "r": "reasoning"}


def number(value):
    if value is None:
        return ""
    return format(round(value, 9), ".9f").rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def row(fact):
    prices = [number(fact[f"{kind}_usd_per_mtok"]) for kind in ("input", "output", "cached_input")]
    limits = [number(fact[f"max_{side}_tokens"]) for side in ("input", "output")]
    letters = "".join(letter for letter, key in LETTERS.items() if fact[key]) or "-"
    columns = [fact["provider"], fact["model"], fact["mode"], *prices, *limits, letters, fact["deprecation_date"] or ""]
    written = fact["cache_write_usd_per_mtok"]
    return columns if written is None else [*columns, number(written)]


def main(source, target):
    with open(source, encoding="utf-8") as lines:
        rows = sorted((row(json.loads(line)) for line in lines), key=lambda r: (r[0].encode(), r[1].encode()))
    with open(target, "w", encoding="utf-8", newline="\n") as out:
        out.writelines("\t".join(r) + "\n" for r in rows)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
