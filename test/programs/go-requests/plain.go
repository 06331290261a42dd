//go:build plain
// +build plain

package main

import (
	"context"
	"encoding/hex"
	"math/rand"
	"runtime/pprof"
)

// startSpan does as the bridge does, which old releases of Go cannot build.
func startSpan(parent context.Context) (context.Context, identity, func()) {
	ctx := parent
	id := randomIdentity()
	if _, has := pprof.Label(ctx, "span_id"); !has {
		ctx = labelled(ctx, "span_name", "request", "span_id", id.span, "trace_id", id.trace)
	}
	return ctx, id, func() { pprof.SetGoroutineLabels(parent) }
}

func randomIdentity() identity {
	var bytes [24]byte
	rand.Read(bytes[:])
	return identity{hex.EncodeToString(bytes[:16]), hex.EncodeToString(bytes[16:])}
}
