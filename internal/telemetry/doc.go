// Package telemetry says how the service is doing: a logger, Prometheus metrics,
// trace context for outgoing calls, and what was built.
//
// # The story
//
// The rooms know nothing of Prometheus. They take functions ("hears of each
// read") and the methods of [Metrics] are those functions: words and durations
// in, no types of other rooms. So this package imports none of ours and can be
// left out of a test.
//
// No metric has a label per user, mailbox or address: labels come from short
// lists that the code fixes (outcomes, sources, verdicts, operations, status
// codes), so that the number of series does not grow with the number of users.
//
// What is counted elsewhere, in Redis for all replicas (how much is due, how
// late, how all users stand), is asked for when Prometheus asks, within a second. If the answer
// doesn't come, outlook_monitor_board_up is 0 and those gauges are absent: an
// old number would look like a fresh one.
//
// A trace is one change, from what noticed it to the mediator's answer. It goes
// through Redis as a traceparent, in the mark and in the recorded change, so that
// any replica can go on with it. Spans are made after the fact, once a look has
// turned out to be worth telling: polls that find nothing new leave none, and who
// exports nowhere pays nothing. That is why there is no instrumentation of gin and
// go-redis here: it would make spans of every request and command, and tell the
// paths, in which there are addresses. deploy/METRICS.md has what there is; tests
// compare it, the alarms and the dashboard with the metrics.
package telemetry
