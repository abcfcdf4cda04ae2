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
// late), is asked for when Prometheus asks, within a second. If the answer
// doesn't come, outlook_monitor_board_up is 0 and those gauges are absent: an
// old number would look like a fresh one.
package telemetry
