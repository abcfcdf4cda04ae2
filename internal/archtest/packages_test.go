package archtest_test

import "slices"

// module is the prefix of the imports of ours.
const module = "outlook-monitor/"

// packages says what each package may import of ours. Imports go down the table
// only; tests may import more.
var packages = []struct {
	name    string
	imports []string
}{
	{"cmd/outlook-monitor", []string{
		"internal/api", "internal/webhook", "internal/ui", "internal/server", "internal/poll", "internal/subscribe", "internal/deliver",
		"internal/mailbox", "internal/partition", "internal/schedule", "internal/graph", "internal/store", "internal/doctor",
		"internal/ooo", "internal/config", "internal/telemetry", "internal/tunnel", "internal/graphsim", "internal/mediatorsim",
	}},
	{"cmd/graphsim", []string{"internal/graphsim"}},

	// Checks what the others need.
	{"internal/doctor", []string{
		"internal/webhook", "internal/graph", "internal/store", "internal/tunnel", "internal/ooo", "internal/config",
	}},

	// Handlers: what reaches us over HTTP.
	{"internal/api", []string{"internal/server", "internal/schedule", "internal/store", "internal/ooo"}},
	{"internal/webhook", []string{"internal/server", "internal/schedule", "internal/ooo"}},
	{"internal/ui", []string{"internal/server", "internal/ooo"}},
	{"internal/server", []string{"internal/schedule"}},

	// Actors: the kinds of work over the mailboxes that this replica owns.
	{"internal/poll", actor},
	{"internal/subscribe", actor},
	{"internal/deliver", actor},

	// The owner of all partitions, for tests of the actors.
	{"internal/ownertest", []string{"internal/mailbox", "internal/store", "internal/ooo", "internal/await"}},

	// What this replica owns.
	{"internal/mailbox", []string{"internal/partition", "internal/schedule", "internal/store", "internal/ooo"}},
	{"internal/partition", []string{"internal/schedule", "internal/store", "internal/ooo"}},

	// Adapters know no actors and not each other.
	{"internal/graph", []string{"internal/schedule", "internal/ooo"}},
	{"internal/store", []string{"internal/schedule", "internal/ooo"}},
	{"internal/tunnel", []string{"internal/schedule"}},

	// The domain, waits and the timed queue, and how JSON is read on the hot paths.
	{"internal/ooo", nil},
	{"internal/schedule", nil},

	{"internal/config", nil},
	{"internal/telemetry", nil},

	// Stand-ins and test support know nothing of ours.
	{"internal/await", nil},
	{"internal/graphsim", nil},
	{"internal/mediatorsim", nil},
	{"internal/redistest", []string{"internal/programtest"}},
	{"internal/faults", nil},
	{"internal/bench", nil},
	{"internal/archtest", nil},
	{"internal/programtest", nil},

	// Modules of their own.
	{"scripts/tools/chart", nil},
	{"scripts/tools/collector", nil},
}

var actor = []string{"internal/mailbox", "internal/partition", "internal/schedule", "internal/graph", "internal/store", "internal/ooo"}

// position returns where a package is in the table; -1 if it is not.
func position(pkg string) int {
	for i, row := range packages {
		if row.name == pkg {
			return i
		}
	}
	return -1
}

// libraries says which packages know a library, by the beginning of its path. Tests
// may know more.
var libraries = []struct {
	prefix   string
	packages []string
}{
	{"github.com/microsoftgraph/", []string{"internal/graph"}},
	{"github.com/microsoft/kiota", []string{"internal/graph"}},
	{"github.com/Azure", []string{"internal/graph"}},
	{"github.com/redis/", []string{"internal/store", "internal/redistest"}},
	{"github.com/alicebob/miniredis", []string{"internal/store", "internal/redistest"}},
	{"github.com/gin-", handlers},
	{"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic", handlers},
	{"github.com/alecthomas/kong", []string{"internal/config", "cmd/outlook-monitor", "cmd/graphsim"}},
	{"github.com/prometheus/", []string{"internal/telemetry"}},
	{"go.opentelemetry.io/otel/sdk", []string{"internal/telemetry"}},
	{"go.opentelemetry.io/otel/exporters", []string{"internal/telemetry"}},
	{"golang.org/x/crypto/acme", []string{"internal/server"}},
	{"golang.ngrok.com/", []string{"internal/tunnel"}},
	{"testing", []string{"internal/redistest", "internal/programtest", "internal/await", "internal/ownertest"}},
}

var handlers = []string{"internal/api", "internal/ui", "internal/webhook", "cmd/outlook-monitor"}

// heavy is never imported: it takes minutes to compile, and its parts do.
const heavy = "github.com/microsoftgraph/msgraph-sdk-go"

// layout is what lies at the top, besides names that begin with a dot.
var layout = []string{"Dockerfile", "README.md", "cmd", "deploy", "go.mod", "go.sum", "internal", "scripts"}

// built is what scripts/check, scripts/run and scripts/package leave at the top; git
// ignores it.
var built = []string{"bin", "dist"}

// mayImport reports whether a package may import another.
func mayImport(pkg, other string) bool {
	i := position(pkg)
	return i >= 0 && slices.Contains(packages[i].imports, other)
}
