#!/usr/bin/env bash
# Mutation testing of the core: every line is broken in every way that Stryker knows, and a test has to notice.
#
#   ./test --mutation              the whole core: an hour on two idle cores
#   ./test --mutation FILE.cs ...  these files only
#
# Runs the quick tests only (the project file says which are left out), so the score is a lower bound: what schedules,
# model and soak find on top is not counted. Debug-only code (assertions, observation points) is not mutated. Ends with
# a non-zero exit code below a score of 85; docs/mutation.md lists the survivors with a reason each.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
cd "$root"
. eng/prepare.sh
ensure_dotnet
dotnet tool restore >/dev/null

only=()
for file in "$@"; do
  [ -f "src/MemoryGroups/$file" ] || { echo "./test --mutation: src/MemoryGroups has no file '$file'" >&2; exit 2; }
  only+=(--mutate "**/$file")
done

export MutationRun=true
cd tests/MemoryGroups.Tests
dotnet restore >/dev/null
exec dotnet stryker --config-file ../../eng/mutation.json --skip-version-check \
  --output "$root/artifacts/mutation" "${only[@]}"
