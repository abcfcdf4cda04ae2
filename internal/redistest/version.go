package redistest

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// FakeVersion starts an embedded Redis that reports another version, and returns its URL.
// version may contain further lines of INFO, such as those of a Valkey.
func FakeVersion(t testing.TB, version string) (url string) {
	t.Helper()
	redis := miniredis.RunT(t)
	redis.Server().SetPreHook(func(client *server.Peer, command string, _ ...string) bool {
		if command != "INFO" {
			return false
		}
		client.WriteBulk("redis_version:" + version + "\r\n")
		return true
	})
	return "redis://" + redis.Addr()
}
