#!/usr/bin/env bash
# Measures tlj on the GPU of this host in under eight minutes (once installed), and writes JSON and a table to OUT:
# ViT-B/16, BERT-base and ResNet-50 in bfloat16 at batch 256 beside torch.compile, each strategy's time beside its FLOPs,
# and the attention kernels. Every part has its own time limit, so that one that hangs or fails leaves the rest.
#   PEER_PYTHON=/path/to/peer/python PEER_SCRIPT=/path/to/peer_step.py bash launch/bench_gpu.sh
# OUT (bench_gpu)       folder of the results; what is in it is replaced
# PEER_PYTHON           python of an environment with torch and transformers; without it the peer is left out
# PEER_SCRIPT           the script that times the peer's step
# TLJ_PYTHON            python of an environment with tlj[cuda]; without it .venv is made
# ROUNDS (2), BATCH (256), MODELS ("vit_b16 bert_base resnet50"), SECONDS_IN_ALL (460)
# --smoke               the same path with tiny models on a CPU: what comes out means nothing
set -euo pipefail
from_here() { case "$1" in "" | /*) echo "$1" ;; */*) echo "$PWD/$1" ;; *) command -v -- "$1" || echo "$PWD/$1" ;; esac; }
PEER_PYTHON="$(from_here "${PEER_PYTHON:-}")"
PEER_SCRIPT="$(case "${PEER_SCRIPT:-}" in "" | /*) echo "${PEER_SCRIPT:-}" ;; *) echo "$PWD/$PEER_SCRIPT" ;; esac)"
TLJ_PYTHON="$(from_here "${TLJ_PYTHON:-}")"
out="$(case "${OUT:-}" in "") echo "" ;; /*) echo "$OUT" ;; *) echo "$PWD/$OUT" ;; esac)"
# shellcheck source=launch/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
out="${out:-$PWD/bench_gpu}"

device=cuda dtype=bfloat16 batch="${BATCH:-256}" steps=20 windows=3 rounds="${ROUNDS:-2}" smoke=""
read -ra models <<<"${MODELS:-vit_b16 bert_base resnet50}"
# The peer's update, so that one compiled step serves both measurements.
plain=(--config.optimizer.learning_rate=1e-4 --config.optimizer.weight_decay=0.01 --config.optimizer.clip_norm=0)
tiny=()
case "${1:-}" in
  "") ;;
  --smoke)
    smoke=1 device=cpu dtype=float32 batch=4 steps=2 windows=1 rounds=1 models=(vit_b16)
    tiny=(--config.model.settings.width=8 --config.model.settings.depth=4 --config.model.settings.heads=1
      --config.data.source=synthetic:32x2)
    ;;
  *) say "unknown word $1; see the head of $0"; exit 2 ;;
esac

python="$TLJ_PYTHON"
if [[ -z "$python" ]]; then
  prepare_environment "$([[ -n "$smoke" ]] || echo cuda)"
  python="$PWD/.venv/bin/python"
fi
mkdir -p "$out"
rm -f "$out"/*.json "$out"/*.log "$out/parts.tsv" "$out/table.txt"
: >"$out/parts.tsv"
# Several parts take the same step: the second need not wait for the compiler.
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$out/compiled}" JAX_PLATFORMS="${JAX_PLATFORMS:-$device}"
deadline=$((SECONDS + ${SECONDS_IN_ALL:-460}))

left_out() {
  printf '%s\tleft out\t0\n' "$1" >>"$out/parts.tsv"
  echo "$2" >"$out/$1.log"
}

# part NAME SECONDS COMMAND...: runs a command for at most so long and never beyond the end of all.
part() {
  local name="$1" limit="$2" begin="$SECONDS" code=0
  shift 2
  if ((deadline - SECONDS < 2)); then
    say "$name: no time is left"
    left_out "$name" "no time was left"
    return
  fi
  say "$name (at most $limit s)"
  ((limit <= deadline - SECONDS)) || limit=$((deadline - SECONDS))
  timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1 || code=$?
  printf '%s\t%s\t%s\n' "$name" "$code" "$((SECONDS - begin))" >>"$out/parts.tsv"
  ((code == 0)) || say "$name ended with $code: $(tail -n 1 "$out/$name.log")"
}

if command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv >"$out/nvidia.log" 2>&1 || true
fi
part facts 60 "$python" -m tlj.benchmark.facts --json="$out/facts.json"
if [[ ! -e "$out/facts.json" ]]; then
  say "JAX finds no $device device (see $out/facts.log)"
  exit 1
fi

for model in "${models[@]}"; do
  if [[ -z "$PEER_PYTHON" || -z "$PEER_SCRIPT" ]]; then
    left_out "peer-$model" "set PEER_PYTHON and PEER_SCRIPT to compare with torch --compile"
    continue
  fi
  part "peer-$model" 100 "$python" -m tlj.benchmark.peers --peer-python="$PEER_PYTHON" --peer-script="$PEER_SCRIPT" \
    --framework=torch --compile --model="$model" --batch="$batch" --dtype="$dtype" --device="$device" \
    --steps="$steps" --rounds="$rounds" --seconds=90 --json="$out/peer-$model.json" "${tiny[@]}"
done

for model in "${models[@]}"; do
  # A ResNet's stages are too few to train the last four.
  strategies="linear_probe,last_blocks:$([[ "$model" == resnet50 ]] && echo 1 || echo 4)"
  part "bench-$model" 90 "$python" -m tlj bench --config="configs/step_time.py:$model" --strategies="$strategies" \
    --windows="$windows" --config.global_batch_size="$batch" --config.dtype="$dtype" \
    --json="$out/bench-$model.json" "${plain[@]}" "${tiny[@]}"
done

if "$python" -c 'import sys; from tlj.config_keys import KEYS; sys.exit("attention.kernel" not in KEYS)'; then
  for kernel in xla cudnn flash; do
    part "attention-$kernel" 60 "$python" -m tlj.benchmark.peers.own_step --config="configs/step_time.py:${models[0]}" \
      --batch="$batch" --dtype="$dtype" --steps="$steps" --json="$out/attention-$kernel.json" \
      --config.attention.kernel="$kernel" "${tiny[@]}"
  done
fi

"$python" -m tlj.benchmark.gpu_report "$out" | tee "$out/table.txt"
say "results: $out"
