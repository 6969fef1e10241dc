#!/usr/bin/env python3
"""Trains anew on the recorded workloads, by the command that the shipped manifest names, and compares what comes out with
`models/default`: the same files, the same fields, and numbers that differ by no more than another processor's rounding."""
import argparse, json, pathlib, shutil, subprocess, sys, tempfile

SHIPPED = pathlib.Path(__file__).parents[2] / "models/default"
# Far more than rounding does, and far less than other data, another form or older code.
RELATIVE, ABSOLUTE = 0.1, 0.05


def differences(ours, theirs, place):
    """Where two values of JSON are not the same."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if ours.keys() != theirs.keys():
            return [f"{place}: fields {sorted(ours.keys() ^ theirs.keys())} are in one only"]
        return [found for name in ours for found in differences(ours[name], theirs[name], f"{place}.{name}")]
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return [f"{place}: {len(ours)} values, and {len(theirs)}"]
        return [found for i, pair in enumerate(zip(ours, theirs)) for found in differences(*pair, f"{place}[{i}]")]
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        near = abs(ours - theirs) <= ABSOLUTE + RELATIVE * abs(theirs)
        return [] if near else [f"{place}: {ours} and {theirs}"]
    return [] if ours == theirs else [f"{place}: {ours!r} and {theirs!r}"]


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--satisfice", required=True)
    ap.add_argument("--shared", default="../shared")
    a = ap.parse_args()
    manifest = json.loads((SHIPPED / "manifest.json").read_text())
    data = pathlib.Path(a.shared).resolve() / "data"
    program = str(pathlib.Path(a.satisfice).resolve())
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(SHIPPED, pathlib.Path(folder) / "encoder")
        words = manifest["command"].split()[1:]
        words = [str(data / word) if word.endswith(".jsonl.gz") else word for word in words]
        subprocess.run([program, *words, "--out", "new"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        new = pathlib.Path(folder) / "new"
        names = [file["name"] for file in manifest["files"]]
        same = [name for name in names if (new / name).read_bytes() == (SHIPPED / name).read_bytes()]
        found = differences(*(json.loads((where / "prior.json").read_text()) for where in (new, SHIPPED)), "prior.json")
    print(f"to the bit: {', '.join(same)}")
    if found:
        sys.exit("\n".join([f"{len(found)} values of prior.json are not what training gives; run training/make.sh", *found[:20]]))
    print("prior.json is what training gives")


if __name__ == "__main__":
    main()
