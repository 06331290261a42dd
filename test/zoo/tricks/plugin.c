/* SPDX-License-Identifier: Apache-2.0 */
/* The library that others load, cut, replace and unload. */
unsigned long plugin_work(unsigned long rounds) {
	unsigned long x = rounds;
	for (unsigned long i = 0; i < rounds; i++)
		x = x * 6364136223846793005ul + i;
	return x;
}
