/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the CLI does not say about the kernel it runs on.
 *   inspect load OBJECT [NAME=VALUE]...
 *                         verifies every program with these read-only variables:
 *                         {"program", "instructions"} and {"load_ms"} in lines;
 *                         the verifier's words on failure
 *   inspect runs          {"program", "runs", "ns"} of each loaded ft_* program
 *   inspect sent          how many samples the running sampler has unwound itself
 *   inspect rings         how many rings the running sampler has
 *   inspect nice COMMAND  runs it below others; busybox need not have nice
 *   inspect pin CPU COMMAND
 *                         runs it on that CPU only
 *   inspect only CAPABILITY,... COMMAND
 *                         runs it with no other capabilities than those of these numbers
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "../../bpf/record.h"

#define MOST_PROGRAMS 16
#define LOG_BYTES (1 << 20)
/* BPF_LOG_STATS of kernel/bpf: the closing line with the counts only. */
#define LOG_STATS 4

/* Integers only; the object's own BTF says where they are. */
static int set(struct bpf_object *object, const char *setting)
{
	const struct btf *types = bpf_object__btf(object);
	const struct btf_type *section = btf__type_by_id(types, (unsigned)btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC));
	const char *value = strchr(setting, '=');
	struct bpf_map *map;
	bpf_object__for_each_map(map, object) {
		if (strstr(bpf_map__name(map), ".rodata"))
			break;
	}
	size_t size;
	char *bytes = map ? (char *)bpf_map__initial_value(map, &size) : NULL;
	if (!section || !value || !bytes)
		return -1;
	for (int i = 0; i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *variable = btf_var_secinfos(section) + i;
		const char *name = btf__name_by_offset(types, btf__type_by_id(types, variable->type)->name_off);
		if (strlen(name) != (size_t)(value - setting) || strncmp(name, setting, strlen(name)))
			continue;
		ft_u64 number = strtoull(value + 1, NULL, 0);
		if (variable->size > sizeof(number))
			return -1;
		memcpy(bytes + variable->offset, &number, variable->size);
		return 0;
	}
	return -1;
}

static int load(const char *path, char **settings)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	if (!object)
		return perror(path), 1;
	int ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, 1 << 19, NULL);
	struct bpf_map *rings = bpf_object__find_map_by_name(object, "ft_rings");
	if (ring < 0 || !rings || bpf_map__set_inner_map_fd(rings, ring))
		return perror("ft_rings"), 1;
	for (; *settings; settings++) {
		if (set(object, *settings))
			return fprintf(stderr, "cannot set %s\n", *settings), 1;
	}

	struct bpf_program *programs[MOST_PROGRAMS], *program;
	char *logs[MOST_PROGRAMS];
	int count = 0;
	bpf_object__for_each_program(program, object) {
		if (count == MOST_PROGRAMS)
			return fprintf(stderr, "too many programs\n"), 1;
		programs[count] = program;
		logs[count] = calloc(1, LOG_BYTES);
		bpf_program__set_log_level(program, LOG_STATS);
		bpf_program__set_log_buf(program, logs[count++], LOG_BYTES);
	}
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	int error = bpf_object__load(object);
	clock_gettime(CLOCK_MONOTONIC, &to);
	for (int i = 0; i < count; i++) {
		const char *stats = strstr(logs[i], "processed ");
		if (error)
			fprintf(stderr, "%s:\n%s\n", bpf_program__name(programs[i]), logs[i]);
		else
			printf("{\"program\":\"%s\",\"instructions\":%d}\n",
			       bpf_program__name(programs[i]), stats ? atoi(stats + 10) : -1);
	}
	if (error)
		return fprintf(stderr, "load: %s\n", strerror(-error)), 1;
	printf("{\"load_ms\":%.1f}\n", (to.tv_sec - from.tv_sec) * 1e3 + (to.tv_nsec - from.tv_nsec) / 1e6);
	return 0;
}

static int runs(void)
{
	for (unsigned id = 0; !bpf_prog_get_next_id(id, &id);) {
		struct bpf_prog_info info = {0};
		unsigned length = sizeof(info);
		int fd = bpf_prog_get_fd_by_id(id);
		if (fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(fd, &info, &length) && !strncmp(info.name, "ft_", 3))
			printf("{\"program\":\"%s\",\"runs\":%llu,\"ns\":%llu}\n", info.name,
			       (unsigned long long)info.run_cnt, (unsigned long long)info.run_time_ns);
		close(fd);
	}
	return 0;
}

static int sent(void)
{
	for (unsigned id = 0; !bpf_map_get_next_id(id, &id);) {
		struct bpf_map_info info = {0};
		unsigned length = sizeof(info), zero = 0;
		int fd = bpf_map_get_fd_by_id(id);
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) || strcmp(info.name, "ft_counts")) {
			close(fd);
			continue;
		}
		int width = (int)info.value_size / 8, cpus = libbpf_num_possible_cpus();
		ft_u64 sum = 0, *values = calloc((size_t)(width * cpus), 8);
		if (bpf_map_lookup_elem(fd, &zero, values))
			return perror("ft_counts"), 1;
		for (int cpu = 0; cpu < cpus; cpu++)
			sum += values[cpu * width + FT_COUNTER_SENT];
		return printf("%llu\n", (unsigned long long)sum) < 0;
	}
	return fprintf(stderr, "no sampler runs\n"), 1;
}

static int rings(void)
{
	int count = 0;
	for (unsigned id = 0; !bpf_map_get_next_id(id, &id);) {
		struct bpf_map_info info = {0};
		unsigned length = sizeof(info);
		int fd = bpf_map_get_fd_by_id(id);
		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &length) && !strcmp(info.name, "ft_ring"))
			count++;
		close(fd);
	}
	return printf("%d\n", count) < 0;
}

static int pin(int cpu, char **command)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return perror("sched_setaffinity"), 1;
	execv(*command, command);
	return perror(*command), 1;
}

/* Root gets at exec what the bounding set holds. */
static int only(const char *list, char **command)
{
	unsigned long long kept = 0;
	for (char *end; *list; list = *end ? end + 1 : end)
		kept |= 1ULL << (strtoul(list, &end, 10) & 63);
	for (unsigned long number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++) {
		if (!(kept >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
			return perror("PR_CAPBSET_DROP"), 1;
	}
	execv(command[0], command);
	return perror(command[0]), 1;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "load"))
		return load(argv[2], argv + 3);
	if (argc == 2 && !strcmp(argv[1], "runs"))
		return runs();
	if (argc == 2 && !strcmp(argv[1], "sent"))
		return sent();
	if (argc > 2 && !strcmp(argv[1], "nice") && nice(15) >= 0)
		return execv(argv[2], argv + 2);
	if (argc == 2 && !strcmp(argv[1], "rings"))
		return rings();
	if (argc > 3 && !strcmp(argv[1], "pin"))
		return pin(atoi(argv[2]), argv + 3);
	if (argc > 3 && !strcmp(argv[1], "only"))
		return only(argv[2], argv + 3);
	fprintf(stderr, "usage: inspect load OBJECT [NAME=VALUE]... | runs | sent | rings | nice COMMAND | pin CPU COMMAND | only CAPABILITY,... COMMAND\n");
	return 2;
}
