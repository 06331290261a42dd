// Reads Prometheus text from standard input with Prometheus's own parser and
// linter, as `promtool check metrics` does, and prints what they find as JSON.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

type result struct {
	// Number of series by family.
	Families map[string]int     `json:"families"`
	Problems []promlint.Problem `json:"problems"`
}

func check(text []byte) (*result, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for name, family := range families {
		counts[name] = len(family.GetMetric())
	}
	return &result{Families: counts, Problems: append([]promlint.Problem{}, problems...)}, nil
}

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err == nil {
		var found *result
		if found, err = check(text); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(found)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
