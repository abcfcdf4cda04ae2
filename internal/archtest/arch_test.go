package archtest_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestThisRepositoryKeepsTheRules(t *testing.T) {
	repo := open(t, root(t))
	for _, r := range rules {
		t.Run(r.says, func(t *testing.T) {
			for _, place := range r.broken(repo) {
				t.Error(place)
			}
		})
	}
}

// TestRulesNotice tries each rule on small trees that break it, or nearly.
func TestRulesNotice(t *testing.T) {
	tests := map[string]struct {
		rule string
		tree map[string]string
		want []string
	}{
		"an adapter that imports an actor": {
			"each package imports only what the table allows",
			map[string]string{"internal/store/a.go": `package store; import _ "outlook-monitor/internal/poll"`},
			[]string{"internal/store/a.go imports internal/poll"},
		},
		"an actor that imports the domain and the registry": {
			"each package imports only what the table allows",
			map[string]string{"internal/poll/a.go": `package poll; import (_ "outlook-monitor/internal/ooo"; _ "outlook-monitor/internal/mailbox")`},
			nil,
		},
		"a test that imports more": {
			"each package imports only what the table allows",
			map[string]string{"internal/store/a_test.go": `package store_test; import _ "outlook-monitor/internal/poll"`},
			nil,
		},
		"a package without a row": {
			"each package imports only what the table allows",
			map[string]string{"internal/cellar/a.go": `package cellar`},
			[]string{"internal/cellar has no row in the table of packages"},
		},
		"go-redis outside its package": {
			"a library is known in its own packages alone",
			map[string]string{"internal/api/a.go": `package api; import _ "github.com/redis/go-redis/v9"`},
			[]string{"internal/api/a.go imports github.com/redis/go-redis/v9"},
		},
		"gin in a handler": {
			"a library is known in its own packages alone",
			map[string]string{"internal/api/a.go": `package api; import _ "github.com/gin-gonic/gin"`},
			nil,
		},
		"all of the Graph SDK, even in a test": {
			"a library is known in its own packages alone",
			map[string]string{"internal/graph/a_test.go": `package graph_test; import _ "github.com/microsoftgraph/msgraph-sdk-go"`},
			[]string{"internal/graph/a_test.go imports all of github.com/microsoftgraph/msgraph-sdk-go"},
		},
		"a hollow name": {
			"a package's name says what it is",
			map[string]string{"internal/stringutil/a.go": `package stringutil`},
			[]string{"internal/stringutil/a.go is in a package called stringutil"},
		},
		"a comment that is not the package's": {
			"every package has a comment",
			map[string]string{"internal/ooo/a.go": "// A licence.\npackage ooo", "cmd/graphsim/main.go": "// Command graphsim runs.\npackage main"},
			[]string{"internal/ooo has no package comment"},
		},
		"a long file": {
			"no file is over 400 lines",
			map[string]string{"internal/ooo/a.go": "package ooo\n" + strings.Repeat("\n", longest), "internal/ooo/b.go": "package ooo\n" + strings.Repeat("\n", longest-1)},
			[]string{"internal/ooo/a.go has 401 lines"},
		},
		"an exit under another name": {
			"only main.go ends the process",
			map[string]string{
				"cmd/graphsim/main.go": `package main; import "os"; func main() { os.Exit(1) }`,
				"cmd/graphsim/run.go":  `package main; import sys "os"; func run() { sys.Exit(1) }`,
				"internal/ooo/a.go":    `package ooo; import "log"; func f() { log.Fatalf("no") }`,
			},
			[]string{"cmd/graphsim/run.go ends the process", "internal/ooo/a.go ends the process"},
		},
		"an init function, not a method of that name": {
			"nothing runs before main",
			map[string]string{"internal/ooo/a.go": `package ooo; func init() {}`, "internal/ooo/b.go": `package ooo; type x int; func (x) init() {}`},
			[]string{"internal/ooo/a.go has an init function"},
		},
		"a skipped test": {
			"no test is skipped",
			map[string]string{"internal/ooo/a_test.go": `package ooo; import "testing"; func TestA(t *testing.T) { t.Skip() }`},
			[]string{"internal/ooo/a_test.go skips"},
		},
		"something new at the top": {
			"the top holds what was agreed",
			map[string]string{
				"Dockerfile": "", "README.md": "", "cmd/x": "", "deploy/x": "", "go.mod": "", "internal/x": "", "scripts/x": "",
				".gitignore": "", "bin/x": "", "vendor/x": "",
			},
			[]string{"vendor does not belong there", "go.sum is missing"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for file, text := range tt.tree {
				tree[file] = &fstest.MapFile{Data: []byte(text)}
			}
			i := slices.IndexFunc(rules, func(r rule) bool { return r.says == tt.rule })
			if i < 0 {
				t.Fatalf("there is no rule %q", tt.rule)
			}
			if got := rules[i].broken(open(t, tree)); !slices.Equal(got, tt.want) {
				t.Errorf("broken = %q, want %q", got, tt.want)
			}
		})
	}
}
