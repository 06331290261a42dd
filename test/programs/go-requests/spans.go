//go:build !plain
// +build !plain

package main

import (
	"context"
	"encoding/hex"
	"math/rand"
	"runtime/pprof"

	otelpyroscope "github.com/grafana/otel-profiling-go"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

var tracer = otelpyroscope.NewTracerProvider(sdk.NewTracerProvider()).Tracer("requests")

// startSpan labels the goroutine by the bridge of OpenTelemetry and profiles. Of
// several spans in one another it takes the outermost.
func startSpan(ctx context.Context) (context.Context, identity, func()) {
	ctx, span := tracer.Start(ctx, "request")
	where := trace.SpanContextFromContext(ctx)
	id := identity{where.TraceID().String(), where.SpanID().String()}
	// Old versions of the bridge know of no traces.
	if _, has := pprof.Label(ctx, "trace_id"); !has {
		ctx = labelled(ctx, "trace_id", id.trace)
	}
	return ctx, id, func() { span.End() }
}

func randomIdentity() identity {
	var bytes [24]byte
	rand.Read(bytes[:])
	return identity{hex.EncodeToString(bytes[:16]), hex.EncodeToString(bytes[16:])}
}
