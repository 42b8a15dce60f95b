# Sourced: an emulated machine that starts Debian's kernel with nothing but folders of this project, the runtime and a
# shell in its memory; no disk, no network, nothing of the machine that it runs on. Debian or Ubuntu on x86-64.
# The caller sets $root and $out, a folder for all of its files, and has sourced prepare.sh.

# Emulator and packer are installed; the kernel is only unpacked, this machine is not to start it.
machine_ensure() {
  mkdir -p "$out" || return
  command -v qemu-system-x86_64 >/dev/null && command -v cpio >/dev/null && [ -x /bin/busybox ] \
    || install_packages qemu-system-x86 cpio busybox-static || return
  compgen -G "$out/kernel/boot/vmlinuz-*" >/dev/null && return
  local package
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
  (cd "$out" && apt-get download "$package" && dpkg -x "$package"_*.deb kernel && rm "$package"_*.deb) >&2
}

# machine_pack FOLDER...: each becomes /app/NAME, by the name of the program, which is that of the folder above. What
# the machine does is read from standard input: lines of a shell script.
machine_pack() {
  local image=$out/image tool library sdk folder
  sdk=$(dirname "$(readlink -f "$(command -v dotnet)")")
  rm -rf "$image" && mkdir -p "$image"/{bin,dev,proc,sys,tmp,app,dotnet/shared/Microsoft.NETCore.App} || return
  cp /bin/busybox "$image/bin/"
  for tool in sh mount poweroff; do ln -s busybox "$image/bin/$tool"; done
  cp -r "$sdk"/{dotnet,host} "$image/dotnet/"
  cp -r "$(printf '%s\n' "$sdk"/shared/Microsoft.NETCore.App/10.* | sort -V | tail -1)" \
    "$image/dotnet/shared/Microsoft.NETCore.App/"
  for folder; do cp -r "$folder" "$image/app/$(basename "$(dirname "$folder")")"; done
  # What these programs load, and what the runtime looks for by name.
  {
    find "$image/dotnet" "$image/app" \( -name '*.so' -o -name dotnet \) -exec ldd {} + 2>/dev/null \
      | grep -o '/[^ )]*' | grep -v "^$out"
    ldconfig -p | grep -o '/.*/lib\(ssl\|crypto\)\.so\.[0-9]*$'
  } | sort -u | while read -r library; do
    [ -f "$library" ] || continue
    mkdir -p "$image$(dirname "$library")" && cp -L "$library" "$image$library"
  done
  {
    cat <<'INIT'
#!/bin/sh
export PATH=/bin HOME=/tmp TMPDIR=/tmp DOTNET_ROOT=/dotnet DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 NO_COLOR=1
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
mount -t cgroup2 none /sys/fs/cgroup
INIT
    cat
    echo 'poweroff -f'
  } >"$image/init" || return
  chmod +x "$image/init"
  (cd "$image" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/initrd.gz"
}

# machine_run SECONDS OPTIONS OF QEMU...: what its console says, without the emulator's own screen.
machine_run() {
  local seconds=$1
  shift
  timeout "$seconds" qemu-system-x86_64 "$@" -cpu max -m 3000 -nographic -no-reboot \
    -kernel "$out"/kernel/boot/vmlinuz-* -initrd "$out/initrd.gz" \
    -append "console=ttyS0 quiet cgroup_no_v1=all panic=-1" </dev/null 2>&1 | tr -d '\r'
}
