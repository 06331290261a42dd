# What the guest profiles: one thread in user code until the kernel has unwound
# enough samples by itself, then a program that is in the kernel nearly all the
# time, then two that publish process contexts. An emulated machine on a busy
# host may be slow: hence no fixed time, and the profiler comes first.
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
end=$(/test/inspect sent)
# Who they are is said late: only news from the kernel brings it before they end.
/test/inspect nice /test/process-context 0.5 memfd \
  0a1c0a1a0a0c736572766963652e6e616d65120a0a08696e2d6d656d6664 2
/test/inspect nice /test/process-context 0.5 anon \
  0a200a1e0a0c736572766963652e6e616d65120e0a0c696e2d616e6f6e796d6f7573 2
echo "$start $end" >/out/sent
/test/inspect runs >/out/runs
