/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a library after half of its time. usage: latelib [SECONDS=2 [LIBRARY]]
 * Chains: main, before and main, after, enter_plugin, plugin_middle, plugin_leaf.
 */
#include "report.h"
#include <dlfcn.h>

FRAME uint64_t before(uint64_t x, double end)
{
	do
		x = mix(x, 50000);
	while (thread_cpu_seconds() < end);
	return x + 1;
}

FRAME uint64_t after(uint64_t (*enter)(uint64_t, double), uint64_t x, double end)
{
	volatile char pad[64];
	pad[0] = (char)x;
	return enter(x, end) + (uint64_t)pad[0];
}

int main(int argc, char **argv)
{
	double seconds = seconds_argument(argc, argv, 2);
	double start = thread_cpu_seconds();
	volatile uint64_t sink = before(1, start + seconds / 2);
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 32);
	path[length > 0 ? length : 0] = 0;
	char *slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "plugin.so");
	void *library = dlopen(argc > 2 ? argv[2] : path, RTLD_NOW);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	uint64_t (*enter)(uint64_t, double) = (uint64_t(*)(uint64_t, double))dlsym(library, "enter_plugin");
	sink += after(enter, 3, start + seconds);
	report("latelib", "[[\"main\",\"before\"],"
			  "[\"main\",\"after\",\"enter_plugin\",\"plugin_middle\",\"plugin_leaf\"]]");
	return 0;
}
