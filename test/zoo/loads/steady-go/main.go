// SPDX-License-Identifier: Apache-2.0

// The ordinary load in Go: serve -> alpha, beta or gamma, which take 3, 2 and 1 parts of the
// time, each with the labels of a request of its own. usage: steady-go SECONDS
package main

import (
	"context"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

const part = 2000000

var sink uint64

//go:noinline
func alpha(x uint64, rounds uint64) uint64 {
	for i := uint64(0); i < rounds; i++ {
		x = x*6364136223846793005 + i
	}
	return x + 1
}

//go:noinline
func beta(x uint64, rounds uint64) uint64 {
	for i := uint64(0); i < rounds; i++ {
		x = x*6364136223846793005 + i
	}
	return x + 2
}

//go:noinline
func gamma(x uint64, rounds uint64) uint64 {
	for i := uint64(0); i < rounds; i++ {
		x = x*6364136223846793005 + i
	}
	return x + 3
}

//go:noinline
func serve(which int) {
	switch which {
	case 0:
		sink ^= alpha(sink, 3*part)
	case 1:
		sink ^= beta(sink, 2*part)
	default:
		sink ^= gamma(sink, part)
	}
}

func main() {
	seconds := 20
	if len(os.Args) > 1 {
		seconds, _ = strconv.Atoi(os.Args[1])
	}
	time.AfterFunc(time.Duration(seconds)*time.Second, func() { os.Exit(0) })
	var labels [3]pprof.LabelSet
	for i := range labels {
		digit := strconv.Itoa(4 + i)
		labels[i] = pprof.Labels("trace_id", strings.Repeat(digit, 32), "span_id", strings.Repeat(digit, 16))
	}
	for request := 0; ; request++ {
		pprof.Do(context.Background(), labels[request%3], func(context.Context) { serve(request % 3) })
	}
}
