#!/usr/bin/env bash
# Runs what concerns the operating system's memory groups under a kernel with cgroup v2, whatever this machine has: an
# emulated machine that starts Debian's kernel with nothing but this project, the runtime and a shell in its memory.
# There the tests of containers must all run and none be skipped, and the demo's ungoverned phase must be killed by the
# kernel in its group while the governed one lives to its end. (It is some twenty times slower there: no query is
# expected in time.) Debian or Ubuntu on x86-64; about five minutes. Works in artifacts/cgroup2.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
out=$root/artifacts/cgroup2
machine_seconds=600
passed=0
failed=0

report() {
  local verdict=$1
  shift
  printf '%-6s %s\n' "$verdict" "$*"
  if [ "$verdict" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# Emulator and packer are installed; the kernel is only unpacked, this machine is not to start it.
ensure() {
  command -v qemu-system-x86_64 >/dev/null && command -v cpio >/dev/null && [ -x /bin/busybox ] \
    || { apt-get update && apt-get install -y --no-install-recommends qemu-system-x86 cpio busybox-static; } >&2 \
    || return
  compgen -G "$out/kernel/boot/vmlinuz-*" >/dev/null && return
  local package
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
  (cd "$out" && apt-get download "$package" && dpkg -x "$package"_*.deb kernel && rm "$package"_*.deb) >&2
}

# The file system is unpacked into the machine's memory: no disk, no driver.
pack() {
  local image=$out/image tool library sdk
  sdk=$(dirname "$(readlink -f "$(command -v dotnet)")")
  rm -rf "$image" && mkdir -p "$image"/{bin,dev,proc,sys,tmp,app,dotnet/shared/Microsoft.NETCore.App} || return
  cp /bin/busybox "$image/bin/"
  for tool in sh mount poweroff; do ln -s busybox "$image/bin/$tool"; done
  cp -r "$sdk"/{dotnet,host} "$image/dotnet/"
  cp -r "$(printf '%s\n' "$sdk"/shared/Microsoft.NETCore.App/10.* | sort -V | tail -1)" \
    "$image/dotnet/shared/Microsoft.NETCore.App/"
  cp -r "$root/artifacts/bin/MemoryGroups.Tests/debug" "$image/app/tests"
  cp -r "$root/artifacts/bin/MemoryGroups.Cli/release" "$image/app/demo"
  # What these programs load, and what the runtime looks for by name.
  {
    find "$image/dotnet" "$image/app" \( -name '*.so' -o -name dotnet \) -exec ldd {} + 2>/dev/null \
      | grep -o '/[^ )]*' | grep -v "^$out"
    ldconfig -p | grep -o '/.*/lib\(ssl\|crypto\)\.so\.[0-9]*$'
  } | sort -u | while read -r library; do
    [ -f "$library" ] || continue
    mkdir -p "$image$(dirname "$library")" && cp -L "$library" "$image$library"
  done
  cat >"$image/init" <<'INIT'
#!/bin/sh
export PATH=/bin HOME=/tmp TMPDIR=/tmp DOTNET_ROOT=/dotnet DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 NO_COLOR=1
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
mount -t cgroup2 none /sys/fs/cgroup
/app/tests/MemoryGroups.Tests -noLogo -noColor -method '*ContainerLimitTests*'
/app/demo/memgroups demo --seconds 30 --cache /tmp/demo
poweroff -f
INIT
  chmod +x "$image/init"
  (cd "$image" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/initrd.gz"
}

said() { grep -qE -- "$1" "$out/machine.log"; }

expect() {
  if said "$1"; then report ok "$2"; else report FAILED "$2 (see artifacts/cgroup2/machine.log)"; fi
}

cd "$root" || exit 1
. eng/prepare.sh
ensure_dotnet && mkdir -p "$out" && ensure || { echo "cgroup2: cannot get what it needs on this machine" >&2; exit 1; }
dotnet build tests/MemoryGroups.Tests -c Debug >"$out/build.log" 2>&1 \
  && dotnet build src/MemoryGroups.Cli -c Release >>"$out/build.log" 2>&1 \
  && pack || { tail -20 "$out/build.log" >&2; exit 1; }
timeout "$machine_seconds" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3000 -nographic -no-reboot \
  -kernel "$out"/kernel/boot/vmlinuz-* -initrd "$out/initrd.gz" \
  -append "console=ttyS0 quiet cgroup_no_v1=all panic=-1" </dev/null 2>&1 | tr -d '\r' >"$out/machine.log"

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
