# Sourced by ./test, ./memgroups and the scripts beside it: finds the .NET SDK that global.json asks for, or installs it
# where the machine's own package lists have it. Everything else comes with the restore. Must stay cheap when there is
# nothing to do, and must not touch the machine then.

# The SDK runs without ICU this way, and no project here needs it: see InvariantGlobalization in Directory.Build.props.
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
# No build node stays behind with a pipe that a CI waits for. The compiler's server does, it holds none: without it a
# build of the whole takes five times as long.
export MSBUILDDISABLENODEREUSE=1

# Installs from the machine's own package lists, by sudo where that is needed.
install_packages() {
  local as=()
  [ "$(id -u)" = 0 ] || as=(sudo)
  command -v apt-get >/dev/null && { [ ${#as[@]} = 0 ] || command -v sudo >/dev/null; } || return
  { "${as[@]}" apt-get update && "${as[@]}" apt-get install -y --no-install-recommends "$@"; } >&2
}

# A program's own launcher looks for the runtime only in the standard places and in DOTNET_ROOT.
find_dotnet() {
  local found
  found=$(command -v dotnet) || return 1
  export DOTNET_ROOT=${DOTNET_ROOT:-$(dirname "$(readlink -f "$found")")}
}

ensure_dotnet() {
  if ! find_dotnet && [ "$(id -u)" = 0 ]; then install_packages dotnet-sdk-10.0 || :; fi
  # Asked inside the repository, so that it is global.json's SDK that must be there and not just any.
  if find_dotnet && (cd "$root" && dotnet --version) >/dev/null 2>&1; then return; fi
  echo "The .NET SDK $(sed -n 's/.*"version": "\(.*\)".*/\1/p' "$root/global.json") or a later 10.0 is needed to build:" \
    "https://dotnet.microsoft.com/download" >&2
  return 1
}

# DuckDB's native library comes inside an npm package; nothing of Node is run. It is kept once for all programs of the
# clone, where samples/DuckDbGroups looks for it. Without it everything else still works: tests of DuckDB are skipped
# and say why. The digest is of the whole package: another one is refused.
duckdb_package=@duckdb/node-bindings-linux-x64@1.5.6-r.1
duckdb_sha512=21772b64913a904a8cd19e30c1d5671811d7fdface4b7dd53cd0300d743f43e16cf386f4e7c41ef78721ac208870d2651bc6375072145387817824315b998dd5

ensure_duckdb() {
  local folder=$root/artifacts/native/duckdb
  [ "$(cat "$folder/version" 2>/dev/null)" != "$duckdb_package" ] || return 0
  [ "$(uname -sm)" = "Linux x86_64" ] || return 0
  local fetched
  fetched=$(mktemp -d) || return 0
  if command -v npm >/dev/null \
    && timeout 120 npm pack "$duckdb_package" --silent --pack-destination "$fetched" >/dev/null 2>&1 \
    && echo "$duckdb_sha512  $(echo "$fetched"/*.tgz)" | sha512sum --check --status \
    && tar -xzf "$fetched"/*.tgz -C "$fetched" package/libduckdb.so package/LICENSE \
    && mkdir -p "$folder" && mv -f "$fetched"/package/* "$folder/" && echo "$duckdb_package" >"$folder/version"; then
    rm -rf "$fetched"
    return 0
  fi
  rm -rf "$fetched"
  echo "DuckDB's library ($duckdb_package, by npm) could not be fetched, or is not what it should be: what needs it is" \
    "left out. Everything else works; try again with a network." >&2
}
