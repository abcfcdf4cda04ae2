package archtest_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRules(t *testing.T) {
	repo := open(t, root(t))
	for name, violations := range rules {
		t.Run(name, func(t *testing.T) {
			for _, violation := range violations(repo) {
				t.Error(violation)
			}
		})
	}
}

// TestRulesFindViolations tries rules on small trees that violate them, and on code
// that only looks like a violation.
func TestRulesFindViolations(t *testing.T) {
	tests := map[string]struct {
		rule func(repository) []string
		tree map[string]string
		want []string
	}{
		"imports": {
			forbiddenImports,
			map[string]string{
				"internal/poll/a.go":       `package poll; import (_ "outlook-monitor/internal/ooo"; _ "outlook-monitor/internal/mailbox")`,
				"internal/store/a.go":      `package store; import _ "outlook-monitor/internal/poll"`,
				"internal/store/a_test.go": `package store_test; import _ "outlook-monitor/internal/poll"`,
				"internal/unlisted/a.go":   `package unlisted`,
			},
			[]string{"internal/unlisted has no row in the table of packages", "internal/store/a.go imports internal/poll"},
		},
		"libraries": {
			misplacedLibraries,
			map[string]string{
				"internal/api/a.go":        `package api; import _ "github.com/gin-gonic/gin"`,
				"internal/api/b.go":        `package api; import _ "github.com/redis/go-redis/v9"`,
				"internal/graph/a_test.go": `package graph_test; import _ "github.com/microsoftgraph/msgraph-sdk-go"`,
			},
			[]string{
				"internal/api/b.go imports github.com/redis/go-redis/v9",
				"internal/graph/a_test.go imports all of github.com/microsoftgraph/msgraph-sdk-go",
			},
		},
		"package name": {
			vaguePackageNames,
			map[string]string{"internal/stringutil/a.go": `package stringutil`},
			[]string{"internal/stringutil/a.go is in a package called stringutil"},
		},
		"private word": {
			privateWords,
			map[string]string{"internal/ooo/a.go": `package ooo; func lookUp() {}; func mendAll() {}`},
			[]string{"internal/ooo/a.go: mendAll contains mend: use fix, remedy"},
		},
		"package comment": {
			missingComments,
			map[string]string{"internal/ooo/a.go": "// A licence.\npackage ooo", "cmd/graphsim/main.go": "// Command graphsim runs.\npackage main"},
			[]string{"internal/ooo has no package comment"},
		},
		"file length": {
			longFiles,
			map[string]string{"internal/ooo/a.go": "package ooo\n" + strings.Repeat("\n", maxLines), "internal/ooo/b.go": "package ooo\n" + strings.Repeat("\n", maxLines-1)},
			[]string{"internal/ooo/a.go has 401 lines"},
		},
		"exit": {
			exits,
			map[string]string{
				"cmd/graphsim/main.go": `package main; import "os"; func main() { os.Exit(1) }`,
				"cmd/graphsim/run.go":  `package main; import sys "os"; func run() { sys.Exit(1) }`,
				"internal/ooo/a.go":    `package ooo; import "log"; func f() { log.Fatalf("no") }`,
			},
			[]string{"cmd/graphsim/run.go exits the process", "internal/ooo/a.go exits the process"},
		},
		"init function": {
			inits,
			map[string]string{"internal/ooo/a.go": `package ooo; func init() {}`, "internal/ooo/b.go": `package ooo; type x int; func (x) init() {}`},
			[]string{"internal/ooo/a.go has an init function"},
		},
		"skipped test": {
			skips,
			map[string]string{"internal/ooo/a_test.go": `package ooo; import "testing"; func TestA(t *testing.T) { t.Skip() }`},
			[]string{"internal/ooo/a_test.go skips"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for file, text := range tt.tree {
				tree[file] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := tt.rule(open(t, tree)); !slices.Equal(got, tt.want) {
				t.Errorf("violations = %q, want %q", got, tt.want)
			}
		})
	}
}
