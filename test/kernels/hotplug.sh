# What the guest profiles: a program on the second CPU until that is sampled, the CPU away
# for a moment, and another program on it. Going away takes the kernel less than the second
# within which it would be noticed. Then one that another BPF program takes ticks from.
cpu=/sys/devices/system/cpu/cpu1/online
until_sampled() {
  start=$(/test/inspect sent)
  for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    "$@"
    [ "$(/test/inspect sent)" -ge $((start + 30)) ] && break
  done
}
until_sampled /test/inspect pin 1 /test/chain 1
/test/inspect rings >/out/rings
echo 0 >$cpu
echo 1 >$cpu
# An hour later, as NTP may find soon after a start.
date -s "@$(($(date +%s) + 3600))"
until_sampled /test/inspect pin 1 /test/kernel-time 1
/test/swallow 1 /out/swallow.share
