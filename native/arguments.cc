// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

#include <cmath>

namespace flametap {

namespace {

Napi::TypeError Expected(Napi::Env env, const char* name, const char* what) {
  return Napi::TypeError::New(env, std::string(name) + " must be " + what);
}

}  // namespace

double WholeNumber(Napi::Value value, const char* name, double least, double most) {
  if (!value.IsNumber()) throw Expected(value.Env(), name, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  // Written so that NaN fails.
  if (!(number >= least && number <= most) || number != std::trunc(number)) {
    throw Expected(value.Env(), name, "a whole number in its range");
  }
  return number;
}

Napi::Uint8Array Bytes(Napi::Value value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Expected(value.Env(), name, "a Uint8Array");
  }
  return value.As<Napi::Uint8Array>();
}

std::string Text(Napi::Value value, const char* name) {
  if (!value.IsString()) throw Expected(value.Env(), name, "a string");
  return value.As<Napi::String>();
}

Napi::Object PlainObject(Napi::Value value, const char* name) {
  if (!value.IsObject()) throw Expected(value.Env(), name, "an object");
  return value.As<Napi::Object>();
}

}  // namespace flametap
