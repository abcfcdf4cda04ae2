package archtest_test

import "slices"

// module is the import path prefix of this module.
const module = "outlook-monitor/"

// allowed names the packages of this module that a package may import. Tests may import more.
type allowed struct {
	name    string
	imports []string
}

// packages lists all packages of this module. Imports only go down the table.
var packages = []allowed{
	{"cmd/outlook-monitor", []string{
		"internal/api", "internal/webhook", "internal/ui", "internal/server", "internal/poll", "internal/subscribe", "internal/deliver",
		"internal/mailbox", "internal/partition", "internal/schedule", "internal/graph", "internal/store", "internal/doctor",
		"internal/ooo", "internal/certs", "internal/config", "internal/telemetry", "internal/tunnel", "internal/graphsim", "internal/mediatorsim",
	}},
	{"cmd/graphsim", []string{"internal/graphsim"}},

	// Checks what the other packages need.
	{"internal/doctor", []string{
		"internal/webhook", "internal/graph", "internal/store", "internal/tunnel", "internal/ooo", "internal/config",
	}},

	// HTTP handlers.
	{"internal/ui", []string{"internal/api", "internal/server", "internal/ooo"}},
	{"internal/api", []string{"internal/server", "internal/schedule", "internal/store", "internal/ooo"}},
	{"internal/webhook", []string{"internal/server", "internal/certs", "internal/schedule", "internal/ooo"}},
	{"internal/server", nil},

	// Actors: the kinds of work over the mailboxes that this replica owns.
	{"internal/poll", actor},
	{"internal/subscribe", actor},
	{"internal/deliver", actor},

	// For tests of the actors: the owner of all partitions.
	{"internal/ownertest", []string{"internal/mailbox", "internal/store", "internal/ooo", "internal/await", "internal/must"}},

	// Partitions and mailboxes that this replica owns.
	{"internal/mailbox", []string{"internal/partition", "internal/schedule", "internal/store", "internal/ooo"}},
	{"internal/partition", []string{"internal/schedule", "internal/store", "internal/ooo"}},

	// Adapters import neither actors nor each other.
	{"internal/graph", []string{"internal/schedule", "internal/ooo"}},
	{"internal/store", []string{"internal/schedule", "internal/ooo"}},
	{"internal/tunnel", []string{"internal/schedule"}},
	{"internal/certs", []string{"internal/schedule"}},

	// Simulators and test support.
	{"internal/graphtest", []string{"internal/graphsim", "internal/await", "internal/must"}},
	{"internal/graphsim", []string{"internal/schedule"}},
	{"internal/mediatorsim", []string{"internal/schedule"}},
	{"internal/redistest", []string{"internal/await", "internal/certtest", "internal/programtest", "internal/must"}},
	{"internal/await", nil},
	{"internal/certtest", []string{"internal/filetest", "internal/must"}},
	{"internal/filetest", []string{"internal/must"}},
	{"internal/faults", nil},
	{"internal/bench", nil},
	{"internal/archtest", nil},
	{"internal/programtest", []string{"internal/must"}},
	{"internal/must", nil},

	// The domain; waits and the timed queue.
	{"internal/ooo", nil},
	{"internal/schedule", nil},

	{"internal/config", nil},
	{"internal/telemetry", nil},

	// A separate module.
	{"scripts/tools/chart", nil},
}

var actor = []string{"internal/mailbox", "internal/partition", "internal/schedule", "internal/graph", "internal/store", "internal/ooo"}

// position returns the index of a package in the table, or -1.
func position(pkg string) int {
	return slices.IndexFunc(packages, func(p allowed) bool { return p.name == pkg })
}

// libraries lists the only packages that may import a library, by import path prefix.
// Tests may import more.
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
	{"golang.org/x/crypto/acme", []string{"internal/certs"}},
	{"golang.ngrok.com/", []string{"internal/tunnel"}},
	{"testing", []string{
		"internal/redistest", "internal/programtest", "internal/await", "internal/certtest", "internal/filetest", "internal/graphtest", "internal/ownertest",
		"internal/must",
	}},
}

var handlers = []string{"internal/api", "internal/ui", "internal/webhook", "cmd/outlook-monitor"}

// heavy must not be imported at all: it takes minutes to compile, and its subpackages
// suffice.
const heavy = "github.com/microsoftgraph/msgraph-sdk-go"
