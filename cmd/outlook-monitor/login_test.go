package main_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
)

func TestFailedLoginMentionsDoctorOnce(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, "", graphsim.Config{Seed: 67})
	tb.env["AZURE_CLIENT_SECRET"] = "wrong"
	p := tb.start("serve")
	tb.eventually("the login has failed three times", func() bool { return strings.Count(p.log.String(), "login failed") >= 3 })
	p.stop()
	if n := strings.Count(p.log.String(), "see outlook-monitor doctor"); n != 1 {
		t.Errorf("the log mentions the doctor %d times, want once: %s", n, p.log)
	}
}
