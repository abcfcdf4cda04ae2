package main_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"outlook-monitor/internal/programtest"
)

// TestScriptsDev starts all that scripts/dev starts, changes a setting as its
// control API allows, and ends it as Ctrl-C does.
func TestScriptsDev(t *testing.T) {
	w := &surroundings{t: t}

	address := map[string]string{}
	cmd := exec.Command("../../scripts/dev", "--log-level", "warn")
	cmd.Env = os.Environ()
	for _, name := range []string{"LISTEN_ADDR", "DEV_MEDIATOR_ADDR", "GRAPHSIM_ADDR", "GRAPHSIM_CONTROL_ADDR"} {
		address[name] = programtest.FreeAddress(t)
		cmd.Env = append(cmd.Env, name+"="+address[name])
	}
	p := started(t, cmd)
	t.Cleanup(func() { p.Stop() }) // which ends its children too
	shows := func(text string) func() bool { return func() bool { return strings.Contains(p.log.String(), text) } }
	w.eventually("it builds and starts", func() bool {
		if !p.Alive() {
			t.Fatal("scripts/dev has ended")
		}
		return shows("user0003@contoso.example is in the office (answered 200 OK)")()
	})
	w.base = "http://" + address["GRAPHSIM_CONTROL_ADDR"]
	w.ask(http.MethodPut, "/users/user0001@contoso.example/automaticReplies", "", `{"status":"alwaysEnabled","externalReplyMessage":"<p>Gone fishing</p>"}`)
	w.eventually("the mediator is told", shows(`user0001@contoso.example is out of office: "Gone fishing" (answered 200 OK)`))
	_ = p.Signal(syscall.SIGINT)
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	for name, at := range address {
		if conn, err := net.Dial("tcp", at); err == nil {
			conn.Close()
			t.Errorf("something still listens at %s, %s", name, at)
		}
	}
}
