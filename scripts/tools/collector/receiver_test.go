package collector_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

// endpoints maps protocols to URLs of a receiver.
type endpoints map[string]string

// start runs the receiver until the test ends. It puts the received traces into sink.
func start(t *testing.T) (sink *consumertest.TracesSink, at endpoints) {
	t.Helper()
	sink = new(consumertest.TracesSink)
	var err error
	// Another program may take a free port first.
	for range 10 {
		if at, err = startAt(t, sink, free(t), free(t)); err == nil {
			return sink, at
		}
	}
	t.Fatalf("start the receiver: %v", err)
	return nil, nil
}

func startAt(t *testing.T, sink *consumertest.TracesSink, grpc, http string) (endpoints, error) {
	t.Helper()
	factory := otlpreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	cfg.Protocols.GRPC.GetOrInsertDefault().NetAddr.Endpoint = grpc
	cfg.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr.Endpoint = http
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	r, err := factory.CreateTraces(t.Context(), settings, cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		return nil, errors.Join(err, r.Shutdown(t.Context()))
	}
	t.Cleanup(func() {
		if err := r.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown = %v, want nil", err)
		}
	})
	return endpoints{"grpc": "http://" + grpc, "http/protobuf": "http://" + http}, nil
}

// free returns a loopback address with a free port.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
