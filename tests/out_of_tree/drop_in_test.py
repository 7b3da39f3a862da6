#!/usr/bin/env python3
"""A format that nothing here knows, as its vendor would ship it.

Installs the SDK, builds project/ against it, drops library and manifest into a folder, writes one set of weights
both in the made-up format and as plain F32, and sees that Mortise computes the same logits from both; that it
refuses the format by name without the plugin; and that one changed byte of a code changes the logits.
Needs no package beyond Python's own.
"""
import argparse
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

GROUP = 16
TOKENS = "3,17,42,99,5,64,127,8"


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], entry["shape"], data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]])
            for name, entry in header.items()}


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def floats(dtype, data):
    if dtype == "F32":
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    assert dtype == "BF16", dtype
    return [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def weave_row(codes):
    n = len(codes)
    low = bytes(codes[j] & 15 | (codes[j + n // 2] & 15) << 4 for j in range(n // 2))
    high = bytes(sum((codes[j + i * n // 4] >> 4) << 2 * i for i in range(4)) for j in range(n // 4))
    return low + high


def weave(shape, values):
    """Codes and scales as the format stores them, and the weights that they mean."""
    rows, columns = shape
    codes_out, scales, meant = b"", [], []
    for row in range(rows):
        codes = []
        for start in range(row * columns, (row + 1) * columns, GROUP):
            part = values[start:start + GROUP]
            scale = f32(max(abs(v) for v in part) / 31) or 1.0
            scales.append(scale)
            codes += [min(63, max(0, round(v / scale) + 32)) for v in part]
            meant += [f32((c - 32) * scale) for c in codes[-GROUP:]]
        codes_out += weave_row(codes)
    return codes_out, struct.pack(f"<{len(scales)}f", *scales), struct.pack(f"<{len(meant)}f", *meant)


def make_checkpoints(golden, woven, plain):
    tensors_woven, tensors_plain = {}, {}
    for name, (dtype, shape, data) in sorted(read_safetensors(golden / "model.safetensors").items()):
        values = floats(dtype, data)
        as_f32 = ("F32", shape, struct.pack(f"<{len(values)}f", *values))
        module = name.removesuffix(".weight")
        if module.endswith("_proj"):
            codes, scales, meant = weave(shape, values)
            tensors_woven[module + ".weave"] = ("U8", [shape[0], shape[1] * 6 // 8], codes)
            tensors_woven[module + ".weave_scale"] = ("F32", [shape[0], shape[1] // GROUP], scales)
            tensors_plain[name] = ("F32", shape, meant)
        else:
            tensors_woven[name] = tensors_plain[name] = as_f32
    config = json.loads((golden / "config.json").read_text())
    config["dtype"] = "float32"
    for folder, tensors in ((woven, tensors_woven), (plain, tensors_plain)):
        folder.mkdir(parents=True)
        if folder == woven:
            config["quantization_config"] = {"quant_method": "acme_weave", "keep": ["lm_head"]}
        else:
            config.pop("quantization_config", None)
        (folder / "config.json").write_text(json.dumps(config, indent=2))
        write_safetensors(folder / "model.safetensors", tensors)


def run(command, expected=0):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != expected:
        sys.exit(f"{' '.join(map(str, command))}\nexited {done.returncode} instead of {expected}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def logits(options, model, out, plugins):
    run([options.program, "eval", model, "--token-ids", TOKENS, "--logits-out", out, "--kernels", "reference",
         "--activations", "exact", "--plugin-dir", plugins])
    dtype, shape, data = read_safetensors(out)["logits"]
    assert shape[0] == len(TOKENS.split(",")), shape
    return floats(dtype, data)


def build_plugin(options, work):
    sdk, build, plugins = work / "sdk", work / "build", work / "plugins"
    run([options.cmake, "--install", options.build_tree, "--prefix", sdk, "--component", "sdk"])
    launcher = [f"-DCMAKE_CXX_COMPILER_LAUNCHER={options.launcher}"] if options.launcher else []
    run([options.cmake, "-S", Path(__file__).parent / "project", "-B", build, "-G", options.generator,
         f"-DCMAKE_PREFIX_PATH={sdk}", f"-DCMAKE_CXX_COMPILER={options.compiler}", "-DCMAKE_BUILD_TYPE=Release", *launcher])
    run([options.cmake, "--build", build])
    plugins.mkdir()
    for name in ("weave.so", "weave.yaml"):
        shutil.copy(build / "lib/mortise/plugins" / name, plugins / name)
    return plugins


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("cmake", "build-tree", "compiler", "launcher", "generator", "program", "golden", "work"):
        parser.add_argument("--" + flag, type=Path if flag in ("golden", "work") else str)
    options = parser.parse_args()
    work = options.work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    plugins = build_plugin(options, work)
    make_checkpoints(options.golden, work / "woven", work / "plain")

    woven = logits(options, work / "woven", work / "woven.safetensors", plugins)
    plain = logits(options, work / "plain", work / "plain.safetensors", plugins)
    worst = max(abs(a - b) for a, b in zip(woven, plain, strict=True))
    if worst != 0:
        sys.exit(f"the woven checkpoint's logits differ from those of the same plain weights by {worst}")

    refusal = run([options.program, "check", work / "woven"], expected=5)
    if "acme_weave" not in refusal:
        sys.exit(f"the refusal without the plugin does not name the format:\n{refusal}")

    path = work / "woven" / "model.safetensors"
    tensors = read_safetensors(path)
    name = next(name for name in tensors if name.endswith("q_proj.weave"))
    dtype, shape, data = tensors[name]
    tensors[name] = (dtype, shape, bytes([data[0] ^ 8]) + data[1:])
    write_safetensors(path, tensors)
    if logits(options, work / "woven", work / "changed.safetensors", plugins) == woven:
        sys.exit("a changed code changed no logit: the plugin's tensor was not read")
    print("a made-up format was dropped in: equal logits, refused by name without its plugin")


if __name__ == "__main__":
    main()
