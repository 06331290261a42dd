/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs baseline.bpf.o at 99 Hz on every CPU. usage: baseline OBJECT SECONDS
 * Prints {"run_ns":…,"runs":…,"samples":…,"frames":…} for that time.
 * Build: cc -O2 -o baseline baseline.c -lbpf
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned long long total(struct bpf_object *object, const char *map, unsigned key, int cpus)
{
	unsigned long long values[1024] = {0}, sum = 0;
	bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, map), &key, values);
	for (int i = 0; i < cpus; i++)
		sum += values[i];
	return sum;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	struct bpf_object *object = bpf_object__open_file(argv[1], NULL);
	if (stats < 0 || !object || bpf_object__load(object)) {
		fprintf(stderr, "baseline: cannot load %s\n", argv[1]);
		return 1;
	}
	struct bpf_program *program = bpf_object__find_program_by_name(object, "base_get_stack");
	int cpus = libbpf_num_possible_cpus();
	for (int cpu = 0; cpu < cpus && cpu < 1024; cpu++) {
		struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
					       .size = sizeof(attr),
					       .config = PERF_COUNT_SW_CPU_CLOCK,
					       .sample_freq = 99,
					       .freq = 1};
		int event = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
		if (event < 0)
			continue; /* an offline CPU */
		if (!bpf_program__attach_perf_event(program, event)) {
			fprintf(stderr, "baseline: cannot attach on CPU %d\n", cpu);
			return 1;
		}
	}
	usleep((useconds_t)(atof(argv[2]) * 1e6));
	struct bpf_prog_info info;
	memset(&info, 0, sizeof(info));
	unsigned size = sizeof(info);
	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
		return 1;
	printf("{\"run_ns\":%llu,\"runs\":%llu,\"samples\":%llu,\"frames\":%llu}\n", info.run_time_ns, info.run_cnt,
	       total(object, "base_counts", 0, cpus), total(object, "base_counts", 1, cpus));
	return 0;
}
