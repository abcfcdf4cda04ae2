package main_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestScriptsDev starts all that scripts/dev starts, changes a setting as its
// control API allows, and ends it as Ctrl-C does.
func TestScriptsDev(t *testing.T) {
	w := &surroundings{t: t}
	service, mediator, graph, control := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	p := &program{t: t, cmd: exec.Command("../../scripts/dev", "--log-level", "warn"), log: &locked{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "LISTEN_ADDR="+service, "DEV_MEDIATOR_ADDR="+mediator, "GRAPHSIM_ADDR="+graph, "GRAPHSIM_CONTROL_ADDR="+control)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.exited) }()
	t.Cleanup(func() {
		select {
		case <-p.exited:
		default:
			p.stop()
		}
		if t.Failed() {
			t.Logf("shown:\n%s", tail(p.log.String(), 40))
		}
	})
	shows := func(text string) func() bool { return func() bool { return strings.Contains(p.log.String(), text) } }
	w.eventually("it builds and starts", func() bool {
		select {
		case <-p.exited:
			t.Fatal("scripts/dev has ended")
		default:
		}
		return shows("user0003@contoso.example is in the office (answered 200 OK)")()
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
		"http://"+control+"/users/user0001@contoso.example/automaticReplies", strings.NewReader(`{"status":"alwaysEnabled","externalReplyMessage":"<p>Gone fishing</p>"}`))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	w.eventually("the mediator is told", shows(`user0001@contoso.example is out of office: "Gone fishing" (answered 200 OK)`))
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	for _, address := range []string{service, mediator, graph, control} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("something still listens at %s", address)
		}
	}
}
