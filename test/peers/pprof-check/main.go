// Reads a pprof file with Google's own library, checks it and prints what it
// holds as JSON: the second opinion of the tests on src/profile/pprof.ts.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/pprof/profile"
)

type summary struct {
	SampleTypes       []string            `json:"sampleTypes"`
	DefaultSampleType string              `json:"defaultSampleType"`
	PeriodType        string              `json:"periodType"`
	Period            int64               `json:"period"`
	TimeNanos         int64               `json:"timeNanos"`
	DurationNanos     int64               `json:"durationNanos"`
	Samples           int                 `json:"samples"`
	Totals            []int64             `json:"totals"`
	Locations         int                 `json:"locations"`
	Functions         int                 `json:"functions"`
	Mappings          []mapping           `json:"mappings"`
	Comments          []string            `json:"comments"`
	Labels            map[string][]string `json:"labels"`
	NumLabels         map[string][]int64  `json:"numLabels"`
	Stacks            map[string]int64    `json:"stacks"`
	Unsymbolized      int                 `json:"unsymbolized"`
}

type mapping struct {
	File            string `json:"file"`
	BuildID         string `json:"buildId"`
	HasFunctions    bool   `json:"hasFunctions"`
	HasFilenames    bool   `json:"hasFilenames"`
	HasLineNumbers  bool   `json:"hasLineNumbers"`
	HasInlineFrames bool   `json:"hasInlineFrames"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pprof-check FILE")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	p, err := profile.Parse(file)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	if err := p.CheckValid(); err != nil {
		return fmt.Errorf("invalid: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(summarize(p))
}

func summarize(p *profile.Profile) summary {
	s := summary{
		DefaultSampleType: p.DefaultSampleType,
		Period:            p.Period,
		TimeNanos:         p.TimeNanos,
		DurationNanos:     p.DurationNanos,
		Samples:           len(p.Sample),
		Totals:            make([]int64, len(p.SampleType)),
		Locations:         len(p.Location),
		Functions:         len(p.Function),
		Mappings:          []mapping{},
		Comments:          p.Comments,
		Labels:            map[string][]string{},
		NumLabels:         map[string][]int64{},
		Stacks:            map[string]int64{},
	}
	for _, t := range p.SampleType {
		s.SampleTypes = append(s.SampleTypes, t.Type+"/"+t.Unit)
	}
	if p.PeriodType != nil {
		s.PeriodType = p.PeriodType.Type + "/" + p.PeriodType.Unit
	}
	for _, m := range p.Mapping {
		s.Mappings = append(s.Mappings, mapping{m.File, m.BuildID, m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames})
	}
	for _, l := range p.Location {
		if len(l.Line) == 0 {
			s.Unsymbolized++
		}
	}
	for _, sample := range p.Sample {
		for i, v := range sample.Value {
			s.Totals[i] += v
		}
		for key, values := range sample.Label {
			s.Labels[key] = append(s.Labels[key], values...)
		}
		for key, values := range sample.NumLabel {
			s.NumLabels[key] = append(s.NumLabels[key], values...)
		}
		s.Stacks[stackOf(sample)] += sample.Value[0]
	}
	return s
}

// Leaf first, names as JSON strings so that no name can imitate a separator.
func stackOf(sample *profile.Sample) string {
	names := []string{}
	for _, location := range sample.Location {
		for _, line := range location.Line {
			names = append(names, line.Function.Name)
		}
	}
	text, _ := json.Marshal(names)
	return string(text)
}
