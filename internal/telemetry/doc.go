// Package telemetry provides the logger, the Prometheus metrics, the trace context
// of outgoing calls and the build information.
//
// # Design
//
// The other packages know nothing of Prometheus. They take callbacks, and the
// methods of [Metrics] are those callbacks: words and durations in, no types of
// other packages. So this package imports none of ours, and a test can leave it
// out.
//
// No metric has a label per user, mailbox or address: labels come from short
// lists that the code fixes (outcomes, sources, verdicts, operations, status
// codes), so that the number of series does not grow with the number of users.
//
// Each replica reports what it owns and does, from memory; dashboards and alarms
// sum over the replicas. So a scrape costs Redis nothing and works while Redis is
// away, and the sum of the owned partitions shows whether every mailbox has an
// owner. What can't be known is absent: an old number would look like a fresh one.
//
// A trace is one change, from what caused the read to the mediator's answer. Its
// traceparent is stored in the hint and in the saved change, so that any replica
// can continue it. The packages use OpenTelemetry's API with the tracer from here,
// which is a no-op unless spans are exported. They make the spans of a read
// afterwards, once it has found a change: polls that find nothing new leave none.
// That is why gin and go-redis are not instrumented here: that would make spans of
// every request and command, with paths that hold addresses. deploy/METRICS.md
// lists the metrics; tests compare it, the alarms and the dashboard with them.
package telemetry
