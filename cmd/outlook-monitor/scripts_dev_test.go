package main_test

import (
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"outlook-monitor/internal/programtest"
)

// TestScriptsDev runs scripts/dev, changes automatic replies with the control API, and stops
// it like Ctrl-C.
func TestScriptsDev(t *testing.T) {
	tb := &testbed{t: t}

	address := map[string]string{}
	cmd := exec.Command("../../scripts/dev", "--log-level", "warn")
	cmd.Env = programtest.BuildEnv()
	for _, name := range []string{"LISTEN_ADDR", "DEV_MEDIATOR_ADDR", "GRAPHSIM_ADDR", "GRAPHSIM_CONTROL_ADDR"} {
		address[name] = programtest.FreeAddress(t)
		cmd.Env = append(cmd.Env, name+"="+address[name])
	}
	p := startProgram(t, cmd)
	t.Cleanup(func() { p.Stop() }) // stops its children too
	shows := func(text string) func() bool { return func() bool { return strings.Contains(p.log.String(), text) } }
	tb.eventually("the first states are delivered", func() bool {
		if !p.Alive() {
			t.Fatal("scripts/dev has exited")
		}
		return shows("user0003@contoso.example is in the office (answered 200 OK)")()
	})
	tb.base = "http://" + address["GRAPHSIM_CONTROL_ADDR"]
	tb.ask(http.MethodPut, "/users/user0001@contoso.example/automaticReplies", "", `{"status":"alwaysEnabled","externalReplyMessage":"<p>Gone fishing</p>"}`)
	tb.eventually("the change is delivered", shows(`user0001@contoso.example is out of office: "Gone fishing" (answered 200 OK)`))
	_ = p.Signal(syscall.SIGINT)
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	for name, at := range address {
		if conn, err := net.Dial("tcp", at); err == nil {
			conn.Close()
			t.Errorf("%s, %s, is still open", name, at)
		}
	}
}
