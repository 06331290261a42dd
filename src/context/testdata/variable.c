/* SPDX-License-Identifier: Apache-2.0 */
/* A thread-local variable as the carriers have it, somewhere in its block. */
#ifndef BEFORE
#define BEFORE 12
#endif
#ifndef VISIBILITY
#define VISIBILITY "default"
#endif
#ifdef ALIGNED
static __thread char aligned[5] __attribute__((aligned(ALIGNED), used)) = "abcd";
#endif
static __thread char before[BEFORE] __attribute__((used)) = "before";
__attribute__((visibility(VISIBILITY))) __thread void *otel_thread_ctx_v1;
__thread void *custom_labels_current_set;
unsigned custom_labels_abi_version = 1;
static __thread char behind[44] __attribute__((used));

#ifndef WITHOUT_USE
void *place(void)
{
#ifdef ALIGNED
	aligned[0]++;
#endif
	before[0]++;
	behind[0]++;
	return &otel_thread_ctx_v1;
}
#endif
