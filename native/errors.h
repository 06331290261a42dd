// SPDX-License-Identifier: Apache-2.0
// How failures reach JavaScript: an Error with `code` (errno name) and a chain of context.
#pragma once

#include <napi.h>

#include <string>

namespace flametap {

// Error whose message is "<context>: <strerror>" and whose `code` is e.g. "EPERM"; the
// library's own log (the verifier's words) stands behind it.
Napi::Error SystemError(Napi::Env env, const std::string& context, int error_number,
                        const std::string& log = "");

}  // namespace flametap
