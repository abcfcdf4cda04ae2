// Package redistest starts real redis-servers for tests: one alone, three
// masters as a Cluster, or a master with a replica watched by Sentinels. They
// listen on free loopback ports, keep their data in a folder of the test, and
// end with it, even if the test process is killed.
package redistest
