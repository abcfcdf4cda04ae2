// Package bench holds no code, only the benchmarks of scripts/bench: they measure the
// built program against a real Redis, a local Graph and a mediator. Each is a separate
// process, so that its CPU time can be measured.
//
// Figures depend on the load of the machine. So wherever the least cost of the same work
// can be measured, its floor, this happens in the same run, and the ratio is what counts:
//
//   - reading mailboxes: net/http, one typed struct and encoding/json, no Redis;
//   - receiving notifications: a bare handler that decodes and writes to Redis once;
//   - from a change to the mediator: the sum of the round trips that it needs.
//
// Each part is a benchmark that prints rows of one table. For the other processes, the
// test binary runs itself in a role.
package bench
