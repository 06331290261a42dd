package main

import (
	"encoding/hex"
	"fmt"
	"os"

	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/slim/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

type summary struct {
	Profiles []profile `json:"profiles"`
	// Entries of each table, the empty one included.
	Tables map[string]int `json:"tables"`
}

type profile struct {
	Resource     map[string]any `json:"resource"`
	Scope        string         `json:"scope"`
	SampleType   string         `json:"sampleType"`
	PeriodType   string         `json:"periodType"`
	Period       int64          `json:"period"`
	TimeUnixNano uint64         `json:"timeUnixNano,string"`
	DurationNano uint64         `json:"durationNano,string"`
	ProfileID    string         `json:"profileId"`
	Attributes   map[string]any `json:"attributes"`
	Samples      []sample       `json:"samples"`
}

type sample struct {
	Stack      []frame        `json:"stack"`
	Values     []int64        `json:"values"`
	Timestamps int            `json:"timestamps"`
	TraceID    string         `json:"traceId"`
	SpanID     string         `json:"spanId"`
	Attributes map[string]any `json:"attributes"`
}

type frame struct {
	Name      string         `json:"name"`
	System    string         `json:"system"`
	File      string         `json:"file"`
	Line      int64          `json:"line"`
	StartLine int64          `json:"startLine"`
	Module    string         `json:"module"`
	Address   uint64         `json:"address,string"`
	Type      any            `json:"type"`
	BuildIDs  map[string]any `json:"buildIds"`
	Inlined   bool           `json:"inlined"`
}

// A request has the fields of ProfilesData. An index beyond its table panics: that is a failure too.
func read(path string) (*summary, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var request profiles.ProfilesData
	if err := proto.Unmarshal(bytes, &request); err != nil {
		return nil, err
	}
	if len(request.ProtoReflect().GetUnknown()) > 0 {
		return nil, fmt.Errorf("the request has fields that are not known")
	}
	d := dictionary{request.Dictionary}
	s := &summary{Profiles: []profile{}, Tables: d.sizes()}
	for _, ofResource := range request.ResourceProfiles {
		for _, ofScope := range ofResource.ScopeProfiles {
			for _, p := range ofScope.Profiles {
				s.Profiles = append(s.Profiles, profile{
					Resource:     plain(ofResource.Resource.Attributes),
					Scope:        ofScope.Scope.GetName(),
					SampleType:   d.valueType(p.SampleType),
					PeriodType:   d.valueType(p.PeriodType),
					Period:       p.Period,
					TimeUnixNano: p.TimeUnixNano,
					DurationNano: p.DurationNano,
					ProfileID:    hex.EncodeToString(p.ProfileId),
					Attributes:   d.attributes(p.AttributeIndices),
					Samples:      d.samples(p.Samples),
				})
			}
		}
	}
	return s, nil
}

type dictionary struct {
	*profiles.ProfilesDictionary
}

func (d dictionary) sizes() map[string]int {
	return map[string]int{
		"mappings": len(d.MappingTable), "locations": len(d.LocationTable),
		"functions": len(d.FunctionTable), "links": len(d.LinkTable), "strings": len(d.StringTable),
		"attributes": len(d.AttributeTable), "stacks": len(d.StackTable),
	}
}

func (d dictionary) samples(samples []*profiles.Sample) []sample {
	result := []sample{}
	for _, s := range samples {
		link := d.LinkTable[s.LinkIndex]
		one := sample{
			Stack:      []frame{},
			Values:     s.Values,
			Timestamps: len(s.TimestampsUnixNano),
			Attributes: d.attributes(s.AttributeIndices),
		}
		if s.LinkIndex != 0 {
			one.TraceID = hex.EncodeToString(link.TraceId)
			one.SpanID = hex.EncodeToString(link.SpanId)
		}
		for _, index := range d.StackTable[s.StackIndex].LocationIndices {
			one.Stack = append(one.Stack, d.frames(d.LocationTable[index])...)
		}
		result = append(result, one)
	}
	return result
}

func (d dictionary) frames(location *profiles.Location) []frame {
	mapping := d.MappingTable[location.MappingIndex]
	frames := []frame{}
	for depth, line := range location.Lines {
		function := d.FunctionTable[line.FunctionIndex]
		frames = append(frames, frame{
			Name:      d.StringTable[function.NameStrindex],
			System:    d.StringTable[function.SystemNameStrindex],
			File:      d.StringTable[function.FilenameStrindex],
			Line:      line.Line,
			StartLine: function.StartLine,
			Module:    d.StringTable[mapping.FilenameStrindex],
			Address:   location.Address,
			Type:      d.attributes(location.AttributeIndices)["profile.frame.type"],
			BuildIDs:  d.attributes(mapping.AttributeIndices),
			Inlined:   depth < len(location.Lines)-1,
		})
	}
	return frames
}

func (d dictionary) valueType(t *profiles.ValueType) string {
	return d.StringTable[t.GetTypeStrindex()] + "/" + d.StringTable[t.GetUnitStrindex()]
}

func (d dictionary) attributes(indices []int32) map[string]any {
	result := map[string]any{}
	for _, index := range indices {
		attribute := d.AttributeTable[index]
		result[d.StringTable[attribute.KeyStrindex]] = value(attribute.Value)
	}
	return result
}

func plain(attributes []*common.KeyValue) map[string]any {
	result := map[string]any{}
	for _, attribute := range attributes {
		result[attribute.Key] = value(attribute.Value)
	}
	return result
}

func value(v *common.AnyValue) any {
	switch one := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return one.StringValue
	case *common.AnyValue_IntValue:
		return one.IntValue
	default:
		return fmt.Sprintf("unexpected value %v", v)
	}
}
