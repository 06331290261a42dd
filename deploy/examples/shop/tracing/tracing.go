// Package tracing sets OpenTelemetry up as a service of the shop uses it: spans go to the
// log, and the ids of the running request become labels of its goroutine.
package tracing

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	otelpyroscope "github.com/grafana/otel-profiling-go"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// slowSpans writes a line for each request that took longer than it should.
type slowSpans struct{}

func (slowSpans) OnStart(context.Context, trace.ReadWriteSpan) {}
func (slowSpans) Shutdown(context.Context) error               { return nil }
func (slowSpans) ForceFlush(context.Context) error             { return nil }

func (slowSpans) OnEnd(span trace.ReadOnlySpan) {
	took := span.EndTime().Sub(span.StartTime())
	if span.SpanKind() != oteltrace.SpanKindServer || took < 50*time.Millisecond {
		return
	}
	line, err := json.Marshal(map[string]any{
		"service":  os.Getenv("OTEL_SERVICE_NAME"),
		"span":     span.Name(),
		"trace_id": span.SpanContext().TraceID().String(),
		"span_id":  span.SpanContext().SpanID().String(),
		"ms":       took.Milliseconds(),
	})
	if err == nil {
		os.Stdout.Write(append(line, '\n'))
	}
}

// Serve runs a service until it is told to stop.
func Serve(address string, routes map[string]http.HandlerFunc) {
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(slowSpans{}))
	otel.SetTracerProvider(otelpyroscope.NewTracerProvider(provider))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		mux.Handle(pattern, otelhttp.NewHandler(handler, pattern))
	}
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// Client calls other services within the trace of the request.
var Client = &http.Client{
	Transport: otelhttp.NewTransport(http.DefaultTransport),
	Timeout:   10 * time.Second,
}
