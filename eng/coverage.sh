#!/usr/bin/env bash
# Line coverage of the core by its own tests, in Debug (with the assertions): one line for each file below 95 percent,
# then the total. Ends with a non-zero exit code when the total is below 95.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
cd "$root"
. eng/prepare.sh
ensure_dotnet
out=$root/artifacts/coverage
rm -rf "$out"
mkdir -p "$out"

dotnet tool restore >/dev/null
# As in mutation testing without the long tests: instrumented they take ten times as long and reach nothing else.
export MutationRun=true
dotnet test tests/MemoryGroups.Tests --collect "XPlat Code Coverage" --results-directory "$out" -v quiet -- \
  DataCollectionRunSettings.DataCollectors.DataCollector.Configuration.Include="[MemoryGroups]*"
dotnet reportgenerator "-reports:$out/*/coverage.cobertura.xml" "-targetdir:$out" \
  "-reporttypes:TextSummary;Html" "-filefilters:-*.g.cs" -verbosity:Error
awk '$NF ~ /%$/ && $1 !~ /:/ && $NF + 0 < 95' "$out/Summary.txt"
total=$(sed -n 's/ *Line coverage: \([0-9.]*\)%.*/\1/p' "$out/Summary.txt")
echo "line coverage of the core: $total %"
awk -v total="$total" 'BEGIN { exit !(total >= 95) }'
