package main_test

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/programtest"
)

// TestAbortedServiceIsRestarted sends SIGABRT, as systemd does when the watchdog expires. By
// default the Go runtime then exits with status 2, as it does after a panic; the unit does
// not restart a service that exits with the status for wrong settings.
func TestAbortedServiceIsRestarted(t *testing.T) {
	root := install(t)
	unit := content(t, root, unitFile)
	cmd := exec.Command(root+"/usr/bin/outlook-monitor", "demo")
	cmd.Env = append(os.Environ(), assignments(unit, "Environment")...)
	var log programtest.Output
	cmd.Stdout, cmd.Stderr = &log, &log
	p := programtest.Start(t, cmd)
	await.True(t, "the program prints something", func() bool { return log.String() != "" })
	if err := p.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	final := strings.Fields(strings.Join(assignments(unit, "RestartPreventExitStatus"), " "))
	if code := p.Wait(); slices.Contains(final, strconv.Itoa(code)) {
		t.Errorf("exit status = %d, want none that prevents a restart: %v", code, final)
	}
}
