package archtest_test

import (
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRules(t *testing.T) {
	repo := open(t, root)
	for name, violations := range rules {
		t.Run(name, func(t *testing.T) {
			for _, violation := range violations(repo) {
				t.Error(violation)
			}
		})
	}
}

// TestRulesFindViolations applies the rules to a small tree that violates each of them, and
// has code that only looks like a violation.
func TestRulesFindViolations(t *testing.T) {
	tree := fstest.MapFS{}
	for name, text := range map[string]string{
		"internal/poll/a.go":        `import (_ "outlook-monitor/internal/ooo"; _ "outlook-monitor/internal/mailbox")`,
		"internal/store/a.go":       `import _ "outlook-monitor/internal/poll"`,
		"internal/store/a_test.go":  `import _ "outlook-monitor/internal/poll"`,
		"internal/api/a.go":         `import _ "github.com/gin-gonic/gin"`,
		"internal/api/b.go":         `import _ "github.com/redis/go-redis/v9"`,
		"internal/graph/a_test.go":  `import _ "github.com/microsoftgraph/msgraph-sdk-go"`,
		"internal/stringutil/a.go":  "",
		"internal/deliver/a.go":     `func lookUp() {}; func mendAll() {}`,
		"internal/ui/a.go":          strings.Repeat("\n", maxLines-2),
		"internal/ui/b.go":          strings.Repeat("\n", maxLines-1),
		"cmd/graphsim/main.go":      `import "os"; func main() { os.Exit(1) }`,
		"cmd/graphsim/run.go":       `import sys "os"; func run() { sys.Exit(1) }`,
		"internal/webhook/a.go":     `import "log"; func f() { log.Fatalf("no") }`,
		"internal/tunnel/a.go":      `func init() {}`,
		"internal/tunnel/b.go":      `type x int; func (x) init() {}`,
		"internal/server/a_test.go": `import "testing"; func TestA(t *testing.T) { t.Skip() }`,
	} {
		tree[name] = &fstest.MapFile{Data: []byte("package " + path.Base(path.Dir(name)) + "\n" + text + "\n")}
	}
	repo := open(t, tree)
	var got []string
	for _, violations := range rules {
		got = append(got, violations(repo)...)
	}
	slices.Sort(got)
	want := []string{
		"cmd/graphsim/run.go exits the process",
		"internal/api/b.go imports github.com/redis/go-redis/v9",
		"internal/deliver/a.go: mendAll contains mend: use fix, remedy",
		"internal/graph/a_test.go imports all of github.com/microsoftgraph/msgraph-sdk-go",
		"internal/server/a_test.go skips",
		"internal/store/a.go imports internal/poll",
		"internal/stringutil has no row in the table of packages",
		"internal/stringutil/a.go is in a package called stringutil",
		"internal/tunnel/a.go has an init function",
		"internal/ui/b.go has 401 lines",
		"internal/webhook/a.go exits the process",
	}
	if !slices.Equal(got, want) {
		t.Errorf("violations = %q, want %q", got, want)
	}
}
