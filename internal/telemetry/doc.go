// Package telemetry provides the logger, the Prometheus metrics, the tracing of outgoing
// calls and the build information.
//
// # Design
//
// The other packages don't know Prometheus. They take callbacks, and the command counts in
// them. So this package imports no actor, and tests can leave it out.
//
// No metric has a label per user, mailbox or address. Labels come from short lists that
// the code fixes (outcomes, sources, verdicts, operations, status codes), so the number of
// series does not grow with the number of users.
//
// Each replica reports what it owns and does, from memory; dashboards and alerts sum over
// the replicas. So a scrape works while Redis is unreachable, which it only asks for its
// setup; and the sum of the owned partitions shows whether every mailbox has an
// owner. Unknown values are absent, because an old value would look current.
//
// A trace covers one change, from the cause of the read to the mediator's answer. Its
// traceparent is stored in the hint and in the saved change, so that any replica can
// continue it. The packages use OpenTelemetry's API with the tracer from here, which is a
// no-op unless spans are exported. They create the spans of a read afterwards, once it has
// found a change: polls that find nothing new leave none. For the same reason gin and
// go-redis are not instrumented: every request and command would get a span, with paths
// that contain addresses. deploy/METRICS.md lists the metrics; tests compare it, the
// alerts and the dashboard with the code.
package telemetry
