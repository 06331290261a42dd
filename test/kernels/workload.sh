# What the guest profiles: one thread in user code until the kernel has unwound
# enough samples by itself, then a program that is in the kernel nearly all the
# time. An emulated machine on a busy host may be slow: hence no fixed
# time, and the profiler comes first.
export TEST_REPORT=/out/reports
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  /test/inspect nice /test/chain 1
  [ "$(/test/inspect sent)" -ge 100 ] && break
done
start=$(/test/inspect sent)
for round in 1 2 3 4 5 6 7 8 9 10; do
  /test/inspect nice /test/kernel-time 1
  [ "$(/test/inspect sent)" -ge $((start + 60)) ] && break
done
echo "$start $(/test/inspect sent)" >/out/sent
/test/inspect runs >/out/runs
