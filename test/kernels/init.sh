#!/bin/busybox sh
# Process 1 of a guest. Every step leaves NAME.out, NAME.err and NAME.code in
# /out; that folder goes out as a tar through the second serial port.
echo 'process 1 runs'
/bin/busybox --install -s /bin
export PATH=/bin:/test HOME=/tmp
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev 2>/dev/null
mount -t tmpfs none /tmp
mount -t tmpfs none /out
mount -t cgroup2 none /sys/fs/cgroup
mount -t securityfs none /sys/kernel/security
uname -r >/out/release
# Whether anonymous memory has names: since 5.17, where it is switched on.
grep -c ' anon_vma_name_alloc$' /proc/kallsyms >/out/memory-names

step() {
  name=$1
  shift
  "$@" >/out/$name.out 2>/out/$name.err </dev/null
  echo $? >/out/$name.code
  echo "$name $(cut -d ' ' -f 1 /proc/uptime)" >>/out/times
}

step load inspect load /flametap/build/flametap.bpf.o
# The verifier leaves out what is switched off: the same with everything on.
step load-all inspect load /flametap/build/flametap.bpf.o ft_copy_every_sample=1 ft_scope_pids=1 \
  ft_scope_children=1 ft_scope_comm=1 ft_scope_cgroup=1
# Secure Boot machines are in this mode: everything has to work in it.
echo integrity >/sys/kernel/security/lockdown
step doctor /flametap/flametap doctor --json
echo 1 >/proc/sys/kernel/bpf_stats_enabled
step record /flametap/flametap record --format json --output /out/profile.json \
  --save-records /tmp/records -- /bin/sh /test/workload.sh
gzip </tmp/records >/out/records.gz

# One process in the cgroup below the one that is asked for, all others outside.
mkdir -p /sys/fs/cgroup/outer/inner
sh -c 'echo $$ >/sys/fs/cgroup/outer/inner/cgroup.procs; exec /test/chain 100' \
  >/dev/null &
step cgroup /flametap/flametap record --cgroup /sys/fs/cgroup/outer --duration 3s --format json \
  --output /out/cgroup.json
kill $!

step hotplug /flametap/flametap record --format json --output /out/hotplug.json -- \
  /bin/sh /test/hotplug.sh

# The capabilities that the README names and no others: with the perf_event_paranoid that Debian
# sets, with that of Linux, and without the right to lock more memory than systemd once gave.
least() (
  ulimit -l 64
  capabilities=$1
  shift
  inspect only $capabilities "$@"
)
cat /proc/sys/kernel/perf_event_paranoid >/out/paranoid
step record-paranoid least 2,19,24,34,38,39,40 /flametap/flametap record --duration 1s \
  --output /tmp/none
echo 2 >/proc/sys/kernel/perf_event_paranoid
step doctor-least least 2,19,24,34,38,39,40 /flametap/flametap doctor --json
step record-memlock least 2,19,34,38,39,40 /flametap/flametap record --duration 1s \
  --output /tmp/none

mount -t tmpfs none /sys/kernel/btf
step doctor-no-btf /flametap/flametap doctor --json
step record-no-btf /flametap/flametap record --duration 1s --output /tmp/none
umount /sys/kernel/btf

echo confidentiality >/sys/kernel/security/lockdown
step doctor-lockdown /flametap/flametap doctor --json
step record-lockdown /flametap/flametap record --duration 1s --output /tmp/none

dmesg >/out/dmesg
stty -F /dev/ttyS1 raw 2>/dev/null
tar -c -C /out . >/dev/ttyS1
poweroff -f
