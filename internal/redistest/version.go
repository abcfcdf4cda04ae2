package redistest

import (
	"fmt"
	"net"
	"regexp"
	"strconv"

	"outlook-monitor/internal/programtest"
)

// FakeVersion returns the URL of a proxy for the server that replaces the version in
// INFO, and removes the lines that identify a Valkey. version may contain further lines,
// such as those of a Valkey.
func (s *Server) FakeVersion(version string) string {
	s.t.Helper()
	mask := func(client, _ net.Conn) net.Conn { return masked{client, version} }
	return "redis://" + programtest.NewRelay(s.t, programtest.Listen(s.t), mask, s.addr).Addr()
}

// serverInfo matches the beginning of an answer to INFO in RESP2 or RESP3: its length,
// its first line, and the lines that identify the server.
var serverInfo = regexp.MustCompile(`([$=])(\d+)(\r\n(?:txt:)?# Server\r\n)(redis_version:[^\r]*(?:\r\n(?:server_name|valkey_\w+):[^\r]*)*)`)

// masked replaces the version in answers to INFO. The version is near the beginning of an
// answer, so that one Write contains it.
type masked struct {
	net.Conn
	version string
}

func (m masked) Write(p []byte) (int, error) {
	out := serverInfo.ReplaceAllFunc(p, func(answer []byte) []byte {
		part := serverInfo.FindSubmatch(answer)
		size, _ := strconv.Atoi(string(part[2])) // digits
		lines := "redis_version:" + m.version
		return fmt.Appendf(nil, "%s%d%s%s", part[1], size+len(lines)-len(part[4]), part[3], lines)
	})
	if _, err := m.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
