// Package redistest starts real redis-servers for tests: a single server, a server
// with TLS, a Cluster of three masters, or a master and a replica with Sentinels.
// They listen on free loopback ports, keep their data in a temporary directory of
// the test, and end with the test, even if its process is killed. Their logs are shown
// if the test fails.
package redistest
