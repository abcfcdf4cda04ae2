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
	"outlook-monitor/internal/programtest"
)

// terminal is a pseudo-terminal with a program on it.
type terminal struct {
	t    *testing.T
	side *os.File // ours

	screen programtest.Output
}

// onTerminal starts a command on a new terminal.
func onTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	side, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = side.Close() })
	fd := int(side.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = other, other, other
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	_ = other.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // where it still runs
	term := &terminal{t: t, side: side}
	go func() { _, _ = io.Copy(&term.screen, side) }() // until the terminal is closed
	return term
}

// shown is everything that was on the screen.
func (term *terminal) shown() string { return term.screen.String() }

// echoes reports whether what is typed is shown.
func (term *terminal) echoes() bool {
	settings, err := unix.IoctlGetTermios(int(term.side.Fd()), unix.TCGETS)
	return err == nil && settings.Lflag&unix.ECHO != 0
}

// answer types a line once the question is shown and the terminal echoes, or
// does not, as it should.
func (term *terminal) answer(question, line string, echoed bool) {
	term.t.Helper()
	await.True(term.t, fmt.Sprintf("the question %q, echo %t", question, echoed), func() bool {
		return strings.Contains(term.shown(), question) && term.echoes() == echoed
	})
	if _, err := fmt.Fprintln(term.side, line); err != nil {
		term.t.Fatal(err)
	}
}
