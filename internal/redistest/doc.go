// Package redistest starts real redis-servers for tests: one alone, one behind
// TLS, three masters as a Cluster, or a master with a replica watched by
// Sentinels. They listen on free loopback ports, keep their data in a folder of
// the test, and end with it, even if the test process is killed. The log of each
// is shown when the test fails.
package redistest
