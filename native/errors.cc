// SPDX-License-Identifier: Apache-2.0
#include "errors.h"

#include <cstring>

namespace flametap {

Napi::Error SystemError(Napi::Env env, const std::string& context, int error_number,
                        const std::string& log) {
  std::string message = context + ": " + std::strerror(error_number);
  if (!log.empty()) message += "\n" + log;
  Napi::Error error = Napi::Error::New(env, message);
  const char* name = strerrorname_np(error_number);
  error.Set("code", Napi::String::New(env, name ? name : "EUNKNOWN"));
  error.Set("errno", Napi::Number::New(env, error_number));
  return error;
}

}  // namespace flametap
