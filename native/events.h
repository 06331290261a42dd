// SPDX-License-Identifier: Apache-2.0
// The two perf events of a CPU that is sampled. An invalid descriptor: errno tells why.
#pragma once

#include <cstdint>

#include "descriptor.h"

namespace flametap {

// The side band: new mappings, names and kernel symbols; read with the samples.
Descriptor OpenMappings(uint32_t cpu);

// Ticks of busy CPU time. read() gives {time that its timer ran, time enabled}.
Descriptor OpenTicks(uint32_t cpu, uint32_t hz);

}  // namespace flametap
