// SPDX-License-Identifier: Apache-2.0
/*
 * Offers labels of asynchronous work as @polarsignals/custom-labels does: two
 * thread-local variables say which AsyncLocalStorage has the current labels, and
 * its values are objects of C++ with a set of labels and a token behind it.
 */
#include <cstdint>
#include <cstring>
#include <node.h>
#include <string>
#include <vector>

extern "C" {
__attribute__((visibility("default"))) thread_local int custom_labels_als_identity_hash;
/* Where the handle keeps the object's address, as a v8::Global does. */
__attribute__((visibility("default"))) thread_local uintptr_t custom_labels_als_handle;
}

namespace {

struct Text {
	size_t length;
	const char *bytes;
};
struct Label {
	Text key, value;
};
struct Set {
	const Label *storage;
	size_t count, capacity;
};

/* As a node::ObjectWrap lies in memory; that one can end a program whose isolate is
 * taken down while objects are left. */
class Labels {
public:
	explicit Labels(std::vector<std::string> texts) : texts_(std::move(texts)) {
		/* As after a label was removed. */
		labels_.push_back({{0, nullptr}, {0, nullptr}});
		for (size_t i = 0; i + 1 < texts_.size(); i += 2)
			labels_.push_back({text(i), text(i + 1)});
		*set_ = {labels_.data(), labels_.size(), labels_.capacity()};
	}
	virtual ~Labels() {
		memset(static_cast<void *>(set_), 0xee, sizeof(*set_));
		delete set_;
	}
	void wrap(v8::Isolate *isolate, v8::Local<v8::Object> object) {
#if NODE_MAJOR_VERSION >= 26
		object->SetAlignedPointerInInternalField(0, this, v8::kEmbedderDataTypeTagDefault);
#else
		object->SetAlignedPointerInInternalField(0, this);
#endif
		handle_.Reset(isolate, object);
		handle_.SetWeak(this, collected, v8::WeakCallbackType::kParameter);
	}

private:
	static void collected(const v8::WeakCallbackInfo<Labels> &info) {
		delete info.GetParameter();
	}
	Text text(size_t i) const {
		return {texts_[i].size(), texts_[i].data()};
	}
	int count_ = 0;
	v8::Global<v8::Object> handle_;
	Set *set_ = new Set;
	volatile uint64_t token_ = 0xec9eb507fb5d7903;
	std::vector<std::string> texts_;
	std::vector<Label> labels_;
};

/* new Labels(key, value, ...) */
void construct(const v8::FunctionCallbackInfo<v8::Value> &arguments) {
	v8::Isolate *isolate = v8::Isolate::GetCurrent();
	std::vector<std::string> texts;
	for (int i = 0; i < arguments.Length(); i++) {
		v8::String::Utf8Value text(isolate, arguments[i]);
		texts.emplace_back(*text, text.length());
	}
	(new Labels(std::move(texts)))->wrap(isolate, arguments.This());
}

/* publish(storage) */
void publish(const v8::FunctionCallbackInfo<v8::Value> &arguments) {
	v8::Isolate *isolate = v8::Isolate::GetCurrent();
	v8::Local<v8::Object> storage = arguments[0].As<v8::Object>();
	/* For as long as the thread lives. */
	auto *handle = new v8::Global<v8::Object>(isolate, storage);
	custom_labels_als_identity_hash = storage->GetIdentityHash();
	memcpy(&custom_labels_als_handle, handle, sizeof(uintptr_t));
}

} // namespace

NODE_MODULE_INIT() {
	v8::Isolate *isolate = v8::Isolate::GetCurrent();
	auto made = v8::FunctionTemplate::New(isolate, construct);
	made->InstanceTemplate()->SetInternalFieldCount(1);
	auto name = v8::String::NewFromUtf8Literal(isolate, "Labels");
	exports->Set(context, name, made->GetFunction(context).ToLocalChecked()).Check();
	NODE_SET_METHOD(exports, "publish", publish);
}
