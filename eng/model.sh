#!/usr/bin/env bash
# Checks models/oom.pml by spin: every variant of the protocol must hold in all of its states, and every mutant, one
# step of the protocol removed or moved, must be found. One line for each; ends with "N passed, N failed", and the exit
# code is 0 only when that is true of 0 failed. Runs outside the source folders, in artifacts/model.
#   eng/model.sh [TEXT]   only those whose name contains TEXT
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
wanted=${1:-}
out=$root/artifacts/model

# One check that runs wild must not take the whole machine with it. Of the processor, not of the clock: the machine may
# be busy.
check_seconds=300
check_megabytes=4000

passed=0
failed=0

. "$root/eng/prepare.sh"

# Installs what is missing.
ensure() {
  local missing=() tool
  for tool in spin gcc; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  install_packages "${missing[@]}" libc6-dev
  for tool in "${missing[@]}"; do
    command -v "$tool" >/dev/null && continue
    echo "$tool is needed to check the model: on Debian or Ubuntu, 'apt-get install spin gcc libc6-dev'" >&2
    return 1
  done
}

report() {
  local verdict=$1
  shift
  printf '%-6s %s\n' "$verdict" "$*"
  if [ "$verdict" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# check holds|found NAME DEFINES...: one search. A variant holds when spin has seen all its states and no error; a
# mutant is found when there is one.
check() {
  local expected=$1 name=$2
  shift 2
  [[ $name == *"$wanted"* ]] || return 0
  local folder=$out/$name
  mkdir -p "$folder" && cd "$folder" || { report FAILED "$name: cannot use $folder"; return; }
  rm -f ./*

  local kind=-DSAFETY search=() defines=()
  case " $* " in *" LIVENESS "*) kind=-DNFAIR=3 search=(-a -f) ;; esac
  local define
  for define; do defines+=("-D$define"); done
  if ! spin -a "${defines[@]}" "$root/models/oom.pml" >spin.log 2>&1 \
    || ! gcc -O2 -w "$kind" -DCOLLAPSE -DVECTORSZ=2048 -DMEMLIM=$check_megabytes -o pan pan.c >gcc.log 2>&1; then
    report FAILED "$name: does not compile, see artifacts/model/$name"
    return
  fi

  (ulimit -t "$check_seconds" && exec ./pan -m1000000 -v "${search[@]}") >pan.log 2>&1
  local errors states seconds what=
  errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log | head -1)
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log | head -1)
  seconds=$(sed -n 's/^pan: elapsed time \([0-9.e-]*\) .*/\1/p' pan.log | head -1)
  local measured="${states:-?} states, ${seconds:-0} s"
  if [ -z "$errors" ] || grep -qE 'Search not completed|reached -DMEMLIM|max search depth too small' pan.log; then
    # An incomplete search proves nothing, unless it is an error that ended it.
    [ "${errors:-0}" -gt 0 ] || { report FAILED "$name: not searched to the end ($measured)"; return; }
  fi
  [ "$errors" = 0 ] || what=$(sed -n 's/^pan:[0-9]*: \(.*\) (at depth.*/\1/p' pan.log | head -1 | cut -c1-60)
  if [ "$expected" = holds ]; then
    if [ "$errors" = 0 ]; then report ok "$name: holds in all of $measured"
    else report FAILED "$name: $what ($measured)"; fi
  elif [ "$errors" = 0 ]; then report FAILED "$name: not found in $measured"
  else report ok "$name: found, $what ($measured)"; fi
}

ensure || exit 1
mkdir -p "$out"

for tree in fork chain; do
  shape=TREE
  [ $tree = fork ] || shape=CHAIN
  check holds "hog-$tree" $shape HOG
  check holds "hog-cancel-$tree" $shape HOG CANCEL
  check holds "hog-enable-$tree" $shape HOG ENABLE
  check holds "trade-$tree" $shape TRADE
  check holds "hoard-reap-$tree" $shape HOARD REAP
  check holds "hoard-stuck-$tree" $shape HOARD REAP STUCK
  check holds "hoard-cut-$tree" $shape HOARD CUT_TO=2
  check holds "queue-$tree" $shape QUEUE KILL_DISABLED
  check holds "turn-cancel-$tree" $shape TURN CANCEL
  check holds "queue-cancel-$tree" $shape QUEUE KILL_DISABLED CANCEL
  check holds "hoard-listen-$tree" $shape HOARD LISTEN
done

# With fairness everybody's charge ends: no endless round of retries either (I10).
check holds liveness-fork TREE HOARD LIVENESS
check holds liveness-chain CHAIN HOARD LIVENESS
check found liveness-mutant HOARD LIVENESS NO_WAKE_AT_EXIT

mutant() { check found "mutant-$1" "$@"; }

mutant TRYLOCK_BEFORE_QUEUE HOG CANCEL
mutant NO_WAKE_AFTER_RELEASE HOG CANCEL
mutant WAKE_BEFORE_RELEASE HOG CANCEL
mutant NO_TURN_PASSED_ON TURN CANCEL
mutant TURN_LOST_WITH_THE_BYTES TURN CANCEL
mutant NO_MARGIN_RECHECK QUEUE KILL_DISABLED
mutant MARK_AFTER_TRYLOCK HOARD LISTEN
mutant RELEASE_CLEARS_ANOTHERS_HOLD HOG
mutant UNCHARGE_FORGETS_WAKE QUEUE KILL_DISABLED
mutant WAKE_BEFORE_COUNTER_FALLS QUEUE KILL_DISABLED
mutant NO_VICTIM_IN_FLIGHT_RULE TRADE
mutant NO_HINT_PASSED_ON QUEUE KILL_DISABLED CANCEL
mutant NO_WAKE_AT_EXIT HOARD
mutant NO_WAKE_AFTER_REAPING HOARD REAP STUCK
mutant NO_WAKE_BY_SWITCH HOG ENABLE
mutant NO_KILL_LOCK HOARD CUT_TO=2

echo
echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
