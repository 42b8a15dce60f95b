# Sourced by ./test and ./memgroups before they build: finds the .NET SDK that global.json asks for, or installs it
# where the machine's own package lists have it. Everything else comes with the restore. Must stay cheap when there is
# nothing to do, and must not touch the machine then.

# The SDK runs without ICU this way, and no project here needs it: see InvariantGlobalization in Directory.Build.props.
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
# No build node stays behind with a pipe that a CI waits for. The compiler's server does, it holds none: without it a
# build of the whole takes five times as long.
export MSBUILDDISABLENODEREUSE=1

# A program's own launcher looks for the runtime only in the standard places and in DOTNET_ROOT.
find_dotnet() {
  local found
  found=$(command -v dotnet) || return 1
  export DOTNET_ROOT=${DOTNET_ROOT:-$(dirname "$(readlink -f "$found")")}
}

ensure_dotnet() {
  if ! find_dotnet && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update && apt-get install -y --no-install-recommends dotnet-sdk-10.0; } >&2
  fi
  # Asked inside the repository, so that it is global.json's SDK that must be there and not just any.
  if find_dotnet && (cd "$root" && dotnet --version) >/dev/null 2>&1; then return; fi
  echo "The .NET SDK $(sed -n 's/.*"version": "\(.*\)".*/\1/p' "$root/global.json") or a later 10.0 is needed to build:" \
    "https://dotnet.microsoft.com/download" >&2
  return 1
}
