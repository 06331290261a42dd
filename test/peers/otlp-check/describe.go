package main

import (
	service "go.opentelemetry.io/proto/slim/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/slim/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

type field struct {
	Number   int    `json:"number"`
	Type     string `json:"type"`
	Repeated bool   `json:"repeated"`
	Packed   bool   `json:"packed"`
	Oneof    string `json:"oneof"`
}

type description struct {
	// Message, then field, by their full names.
	Messages map[string]map[string]field `json:"messages"`
	// Request and response of each method, by its path.
	Methods map[string][2]string `json:"methods"`
}

func describe() description {
	d := description{Messages: map[string]map[string]field{}, Methods: map[string][2]string{}}
	for _, file := range []protoreflect.FileDescriptor{
		common.File_opentelemetry_proto_common_v1_common_proto,
		resource.File_opentelemetry_proto_resource_v1_resource_proto,
		profiles.File_opentelemetry_proto_profiles_v1development_profiles_proto,
		service.File_opentelemetry_proto_collector_profiles_v1development_profiles_service_proto,
	} {
		messages := file.Messages()
		for i := 0; i < messages.Len(); i++ {
			d.Messages[nameOf(messages.Get(i))] = fieldsOf(messages.Get(i))
		}
		services := file.Services()
		for i := 0; i < services.Len(); i++ {
			methods := services.Get(i).Methods()
			for j := 0; j < methods.Len(); j++ {
				method := methods.Get(j)
				path := "/" + nameOf(services.Get(i)) + "/" + string(method.Name())
				d.Methods[path] = [2]string{nameOf(method.Input()), nameOf(method.Output())}
			}
		}
	}
	return d
}

func fieldsOf(message protoreflect.MessageDescriptor) map[string]field {
	fields := map[string]field{}
	for i := 0; i < message.Fields().Len(); i++ {
		f := message.Fields().Get(i)
		kind := f.Kind().String()
		if f.Message() != nil {
			kind = nameOf(f.Message())
		}
		oneof := ""
		if f.ContainingOneof() != nil {
			oneof = string(f.ContainingOneof().Name())
		}
		fields[string(f.Name())] = field{int(f.Number()), kind, f.IsList(), f.IsPacked(), oneof}
	}
	return fields
}

func nameOf(d protoreflect.Descriptor) string {
	return string(d.FullName())
}
