#!/usr/bin/env bash
# Runs what concerns the operating system's memory groups under a kernel with cgroup v2, whatever this machine has, in
# an emulated one. There the tests of containers must all run and none be skipped, and the demo's ungoverned phase must
# be killed by the kernel in its group while the governed one lives to its end. (It is some twenty times slower there:
# no query is expected in time.) About five minutes. Works in artifacts/machine.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
out=$root/artifacts/machine
passed=0
failed=0

# expect PATTERN WHAT: a line of what the machine said matches.
expect() {
  if grep -qE -- "$1" "$out/machine.log"; then
    echo "ok     $2"
    passed=$((passed + 1))
  else
    echo "FAILED $2 (see artifacts/machine/machine.log)"
    failed=$((failed + 1))
  fi
}

cd "$root" || exit 1
. eng/prepare.sh
. eng/machine.sh
ensure_dotnet && machine_ensure || { echo "cgroup2: cannot get what it needs on this machine" >&2; exit 1; }
{ dotnet build tests/MemoryGroups.Tests -c Debug && dotnet build src/MemoryGroups.Cli -c Release; } >"$out/build.log" 2>&1 \
  || { tail -20 "$out/build.log" >&2; exit 1; }
# Through a pipe: for a terminal the demo folds its lines, and what is looked for might be in two of them.
machine_pack artifacts/bin/MemoryGroups.Tests/debug artifacts/bin/MemoryGroups.Cli/release <<'EOS' || exit 1
/app/MemoryGroups.Tests/MemoryGroups.Tests -noLogo -noColor -method '*ContainerLimitTests*'
/app/MemoryGroups.Cli/memgroups demo --seconds 30 --cache /tmp/demo | busybox cat
EOS
machine_run 600 -accel tcg,thread=multi -smp 2 >"$out/machine.log"

expect 'MemoryGroups.Tests +Total: [1-9][0-9]*, Errors: 0, Failed: 0, Skipped: 0' \
  "all tests of containers pass and none is skipped"
expect 'cap .* \(cgroup v2\)' "the demo caps its phases by groups of version 2"
expect 'ungoverned ended after .* SIGKILL by the kernel: out of memory in its cgroup' \
  "the ungoverned phase is killed by the kernel"
expect 'ok +the governed phase reached its end: exit code 0' "the governed one lives"
expect 'ok +victims are the greedy' "what it killed is the greedy tenant's"
expect 'ok +all books are at zero at the end' "its books are at zero at the end"
echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
