package main_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
)

func TestAFailingLoginLeadsToTheDoctorOnce(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 67})
	w.env["AZURE_CLIENT_SECRET"] = "wrong"
	p := w.start("serve")
	w.eventually("the login has failed again", func() bool { return strings.Count(p.log.String(), "login failed") >= 3 })
	p.stop()
	if n := strings.Count(p.log.String(), "see outlook-monitor doctor"); n != 1 {
		t.Errorf("the log leads to the doctor %d times, want once: %s", n, p.log)
	}
}
