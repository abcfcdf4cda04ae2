package archtest_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// terminal is a pseudo-terminal on which a program runs.
type terminal struct {
	t      *testing.T
	master *os.File
	screen programtest.Output
}

// onTerminal starts a command on a new terminal.
func onTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must.NoError(t, err)
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	must.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must.NoError(t, err)
	replica, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must.NoError(t, err)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = replica, replica, replica
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	_ = replica.Close()
	must.NoError(t, err)
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have exited already
	term := &terminal{t: t, master: master}
	go func() { _, _ = io.Copy(&term.screen, master) }() // until master is closed
	return term
}

// answer types a line once the terminal shows the question and echoes input or not,
// as wanted.
func (term *terminal) answer(question, line string, echoed bool) {
	term.t.Helper()
	await.True(term.t, fmt.Sprintf("the question %q, echo %t", question, echoed), func() bool {
		settings, err := unix.IoctlGetTermios(int(term.master.Fd()), unix.TCGETS)
		return err == nil && settings.Lflag&unix.ECHO != 0 == echoed && strings.Contains(term.screen.String(), question)
	})
	_, err := fmt.Fprintln(term.master, line)
	must.NoError(term.t, err)
}
