// Package collector tests the service's traces against the OpenTelemetry
// collector's own receiver.
//
// # Design
//
// The collector's OTLP receiver listens, as it would inside a collector, and the
// built program plays its demo with the endpoint in OpenTelemetry's variables.
// What arrives is compared with what deploy/METRICS.md promises. It is a module of
// its own, so that neither the program nor its tests need the collector.
package collector
