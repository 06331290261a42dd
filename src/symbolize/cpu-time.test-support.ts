/** CPU time of this thread so far, milliseconds: limits on it hold on a busy machine too. */
export function cpuMilliseconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
