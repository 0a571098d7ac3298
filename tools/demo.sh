#!/usr/bin/env bash
# From nothing to a report: PP-MobileSeg Tiny on generated street scenes. Run it with `make demo`.
# Each command is printed before it runs; the first one that fails ends the demo.
set -euo pipefail

out=${1:?usage: tools/demo.sh FOLDER (what it held is removed)}
config=configs/quickstart/pp_mobileseg_tiny_scenes.yml

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

rm -rf "$out"
run mobileseg scenes --output "$out/scenes"
run mobileseg train --config "$config" --data_root "$out/scenes" --save_dir "$out/run"
run mobileseg val --config "$out/run/config.yml" --model_path "$out/run/best_model" --save_dir "$out/run"
run mobileseg export --model_path "$out/run/best_model" --save_dir "$out/bundle" --output_op argmax --input_shape 1 3 360 480
run mobileseg benchmark --bundle "$out/bundle"
run mobileseg report --run "$out/run" --bundle "$out/bundle" --output "$out/report.html"
printf '\nThe report: %s\n' "$out/report.html"
