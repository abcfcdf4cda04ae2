// Package bench holds no code, only what scripts/bench measures: the built
// program against a real Redis, a local Graph and a mediator, each a process of
// its own, so that the CPU of each is known.
//
// A figure says little on a machine that others use too. So wherever there is a
// least that the same work costs, its floor, that is measured in the same run
// beside the figure, and what counts is the ratio:
//
//   - reading mailboxes: net/http, one typed struct and encoding/json, no Redis;
//   - taking notifications: a bare handler that decodes and writes to Redis once;
//   - from a change to the mediator: the sum of the round trips that it needs.
//
// Each part is a benchmark that prints rows of one table. The test binary is
// also the processes that are no program of ours: it runs itself in a role.
package bench
