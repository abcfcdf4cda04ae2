package main_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
)

func TestSettingsGuide(t *testing.T) {
	var want []string
	for _, row := range config.Table() {
		value := row.Default
		if row.Literal {
			value = "`" + value + "`"
		}
		want = append(want, strings.Join(strings.Fields(fmt.Sprintf("| `%s` | %s | %s |", row.Name, value, row.Help)), " "))
	}
	filetest.WantRows(t, "../../deploy/SETTINGS.md", "| setting | default | meaning |", want)
}

// TestDemo runs the demo. Each of its steps checks its own result.
func TestDemo(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, "", graphsim.Config{})
	p := tb.start("demo", "--once")
	select {
	case <-p.Exited:
	case <-time.After(5 * time.Minute):
	}
	if code := p.Wait(); code != 0 {
		t.Errorf("demo --once = exit %d, want 0:\n%s", code, p.log)
	}
}

// TestREADMECommands checks that the commands and scripts in the README exist.
func TestREADMECommands(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{})
	text := filetest.Read(t, "../../README.md")
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for _, found := range regexp.MustCompile(`(?:outlook-monitor|\./cmd/outlook-monitor) ((?:users )?[a-z-]+)`).FindAllStringSubmatch(block[1], -1) {
			commands++
			tb.run(0, "", append(strings.Fields(found[1]), "--help")...)
		}
	}
	if commands < 5 {
		t.Errorf("%d commands found in the README, want at least 5", commands)
	}
	for _, script := range regexp.MustCompile(`scripts/[a-z]+`).FindAllString(text, -1) {
		if _, err := os.Stat("../../" + script); err != nil {
			t.Errorf("the README names %s, which does not exist", script)
		}
	}
}
