// Package collector tests the traces of the service with the OTLP receiver of the
// OpenTelemetry collector.
//
// # Design
//
// The receiver listens as it would in a collector. The built program runs its demo with
// the endpoint in the OpenTelemetry variables, and the received traces are compared with
// deploy/METRICS.md. This is a separate module, so that neither the program nor its tests
// depend on the collector.
package collector
