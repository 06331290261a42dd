package main

import (
	"context"
	"runtime/pprof"
	"strconv"
)

// styles are the ways in which programs label requests.
const styles = 4

const (
	bridged     = iota // OpenTelemetry's span, by the bridge
	datadog            // decimal span ids, besides
	polarsignal        // the trace alone
	crowded            // many other labels, before and behind
)

// begin labels the goroutine for the request; end takes the labels away.
func begin(r *request) (context.Context, func()) {
	if r.style == polarsignal {
		r.identity = randomIdentity()
		ctx := labelled(context.Background(), "otel_traceid", r.trace)
		r.span = ""
		return ctx, func() { pprof.SetGoroutineLabels(context.Background()) }
	}
	ctx := context.Background()
	if r.style == crowded {
		ctx = labelled(ctx, others("a", 1+r.number/styles%40)...)
	}
	ctx, id, end := startSpan(ctx)
	r.identity = id
	switch r.style {
	case datadog:
		number, err := strconv.ParseUint(id.span, 16, 64)
		if err != nil {
			panic(err)
		}
		span := strconv.FormatUint(number, 10)
		ctx = labelled(ctx, "span id", span, "local root span id", span, "trace id", id.trace,
			"trace endpoint", "GET /requests/{number}")
	case crowded:
		ctx = labelled(ctx, others("z", 1+r.number/styles%23)...)
	}
	return ctx, end
}

// inner is a part of the request with a span, or labels, of its own.
func inner(ctx context.Context, r *request, work func(context.Context)) {
	if r.style == bridged {
		child, _, end := startSpan(ctx)
		work(child)
		end()
	} else {
		pprof.Do(ctx, pprof.Labels("part", "inner"), work)
	}
}

func labelled(ctx context.Context, pairs ...string) context.Context {
	ctx = pprof.WithLabels(ctx, pprof.Labels(pairs...))
	pprof.SetGoroutineLabels(ctx)
	return ctx
}

func others(prefix string, count int) []string {
	var pairs []string
	for i := 0; i < count; i++ {
		name := prefix + strconv.Itoa(i)
		pairs = append(pairs, name, "value of "+name)
	}
	return pairs
}
