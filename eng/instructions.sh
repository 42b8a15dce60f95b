#!/usr/bin/env bash
# How many instructions the benchmark's operations take, instead of how long: an emulated machine whose clock goes on by
# one nanosecond with each instruction it executes, so that what the benchmark takes for nanoseconds are instructions.
# They do not move with the host, its load or where memory lies (the kernel's timer adds about one in a thousand), so
# small differences can be believed. A locked instruction counts as one; nothing is said of time. The machine has one
# core: cases with several threads take turns there and are not shown.
#   eng/instructions.sh [TEXT[,TEXT...]]   of the scenes whose name contains a text; built by `./memgroups bench`
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
out=$root/artifacts/machine
filter=${1:-charge/depth,charge/no,naive walk/pair,peers/1,account/in L,lease/,at the limit/,reading,watching,upkeep,buffers/pools}

cd "$root" || exit 1
. eng/prepare.sh
. eng/machine.sh
find_dotnet && machine_ensure || { echo "instructions: cannot get what it needs on this machine" >&2; exit 1; }
# The compiler's own libraries are for --dotnet only, and larger than all the rest.
program=$out/MemoryGroups.Benchmarks/release
rm -rf "$program" && mkdir -p "$program" || exit 1
find artifacts/bin/MemoryGroups.Benchmarks/release -maxdepth 1 -type f -not -name 'Microsoft.CodeAnalysis*' \
  -exec cp {} "$program/" \;
# With one core the runtime waits ten times as long before it compiles what is hot again; the benchmark does not.
machine_pack "$program" <<EOS || exit 1
export DOTNET_TC_DelaySingleProcMultiplier=1
/app/MemoryGroups.Benchmarks/MemoryGroups.Benchmarks --times --filter '$filter'
EOS
machine_run 1200 -accel tcg -icount shift=0,sleep=off -smp 1 >"$out/machine.log"
grep -q 'windows dropped' "$out/machine.log" || { tail -20 "$out/machine.log" >&2; exit 1; }
printf '%-52s %s\n' operation instructions
sed -n -e 's/^\(.*\) \.\.\. .* windows dropped.*/--- \1/p' \
  -e '/[0-9] threads /d' \
  -e 's/^  \(.*[^ ]\) *  *\([0-9.]*\) ns.*/\1\t\2/p' "$out/machine.log" \
  | awk -F '\t' 'NF == 1 { print; next } { printf "%-52s %12.1f\n", $1, $2 }'
