// The second opinion of the tests on proto/otlp and on src/profile/otlp.ts:
// OpenTelemetry's own messages for Go.
//
//	otlp-check describe     all messages and methods as JSON
//	otlp-check read FILE    what a request holds, with every index resolved, as JSON
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var result any
	var err error
	switch {
	case len(args) == 1 && args[0] == "describe":
		result = describe()
	case len(args) == 2 && args[0] == "read":
		result, err = read(args[1])
	default:
		err = fmt.Errorf("usage: otlp-check describe | read FILE")
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
