#!/usr/bin/env bash
# From nothing to a report: PP-MobileSeg Tiny on generated street scenes. Run it with `make demo`.
# Each command is printed before it runs; the first one that fails ends the demo. --quick tries the commands only: few scenes,
# few iterations, a network that has learnt nothing.
set -euo pipefail

out=${1:?usage: tools/demo.sh FOLDER [--quick] (an earlier run in the folder is replaced)}
scenes=(--train 480) train=() measure=(--threads 1 2)
if [ "${2:-}" = --quick ]; then
    scenes=(--train 32 --val 6)
    train=(--iters 2)
    measure=(--backends onnxruntime --repeats 10)
fi

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

# One process for each of two cores: PaddlePaddle's CPU operators gain little from a second thread.
launch=(python -m paddle.distributed.launch --nproc_per_node 2 --log_dir "$out/launch" --log_level ERROR)
[ "$(nproc)" -ge 2 ] || launch=(python)

rm -rf "$out/scenes" "$out/run" "$out/bundle" "$out/launch" "$out/records" "$out/report.html" "$out/benchmark.html"
run mobileseg scenes --output "$out/scenes" "${scenes[@]}"
run "${launch[@]}" tools/train.py --config configs/quickstart/pp_mobileseg_tiny_scenes.yml \
    --data_root "$out/scenes" --save_dir "$out/run" --do_eval --use_vdl "${train[@]}"
run mobileseg val --model_path "$out/run/best_model" --save_dir "$out/run"
run mobileseg export --model_path "$out/run/best_model" --save_dir "$out/bundle" --output_op argmax --input_shape 1 3 360 480 --all
run mobileseg benchmark --bundle "$out/bundle" "${measure[@]}" --frame_size 1280 720 --accuracy "$out/run/val.json" --output "$out/records"
run mobileseg report "$out/records" --output "$out/benchmark.html"
run mobileseg report "$out/records" --run "$out/run" --bundle "$out/bundle" --output "$out/report.html"
