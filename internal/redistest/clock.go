package redistest

import (
	_ "embed"
	"encoding/binary"
	"os"
	"os/exec"
	"testing"
	"time"

	"outlook-monitor/internal/must"
)

//go:embed clock.c.txt
var clockSource []byte

// StartWithClock is like [Start], but [Server.SetClock] can set the server's clock. It
// needs gcc.
func StartWithClock(t testing.TB) *Server {
	t.Helper()
	dir := t.TempDir()
	source, library, ahead := dir+"/clock.c", dir+"/clock.so", dir+"/ahead"
	for path, content := range map[string][]byte{source: clockSource, ahead: make([]byte, 8)} {
		must.NoError(t, os.WriteFile(path, content, 0o600))
	}
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-O1", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	return launch(t, Server{clock: ahead, env: []string{"LD_PRELOAD=" + library, "CLOCK_AHEAD=" + ahead}}, nil)
}

// SetClock sets the wall clock of a server started by [StartWithClock] ahead of the
// machine's clock, or behind it if ahead is negative. It does not change the monotonic
// clock.
func (s *Server) SetClock(ahead time.Duration) {
	s.t.Helper()
	file, err := os.OpenFile(s.clock, os.O_WRONLY, 0)
	must.NoError(s.t, err)
	defer file.Close()
	if _, err := file.Write(binary.NativeEndian.AppendUint64(nil, uint64(ahead))); err != nil {
		s.t.Fatal(err)
	}
}
