package archtest_test

import "slices"

// module is the prefix of the imports of ours.
const module = "outlook-monitor/"

// rooms says what each package may import of ours. Tests may import more.
var rooms = map[string][]string{
	"cmd/outlook-monitor": {
		"internal/api", "internal/config", "internal/deliver", "internal/doctor", "internal/front", "internal/graph", "internal/graphsim",
		"internal/mediatorsim", "internal/ooo", "internal/redisstore", "internal/subscribe",
		"internal/telemetry", "internal/tunnel", "internal/watch", "internal/ui", "internal/webhook",
	},
	"cmd/graphsim": {"internal/graphsim"},

	// The domain, and the loop that actors run over a queue.
	"internal/ooo": nil,
	"internal/due": {"internal/ooo"},

	// How JSON is walked over on the hot paths.
	"internal/jsonwalk": nil,

	// Actors.
	"internal/watch":     actor,
	"internal/subscribe": actor,
	"internal/deliver":   actor,
	"internal/webhook":   {"internal/ooo", "internal/due", "internal/jsonwalk"},
	"internal/api":       actor,
	"internal/ui":        {"internal/ooo"},

	// Adapters know no actors and not each other.
	"internal/graph":      {"internal/ooo", "internal/jsonwalk"},
	"internal/redisstore": {"internal/ooo"},

	"internal/config":    nil,
	"internal/doctor":    {"internal/config", "internal/ooo"},
	"internal/front":     nil,
	"internal/telemetry": nil,
	"internal/tunnel":    nil,

	// Stand-ins and test support know nothing of ours.
	"internal/graphsim":    nil,
	"internal/mediatorsim": nil,
	"internal/redistest":   nil,
	"internal/faults":      nil,
	"internal/bench":       nil,
	"internal/archtest":    nil,

	// Modules of their own.
	"scripts/tools/chart":     nil,
	"scripts/tools/collector": nil,
}

var actor = []string{"internal/ooo", "internal/due"}

// libraries says which rooms know a library, by the beginning of its path. Tests
// may know more.
var libraries = []struct {
	prefix string
	rooms  []string
}{
	{"github.com/microsoftgraph/", []string{"internal/graph"}},
	{"github.com/microsoft/kiota", []string{"internal/graph"}},
	{"github.com/Azure", []string{"internal/graph"}},
	{"github.com/redis/", []string{"internal/redisstore", "internal/redistest"}},
	{"github.com/alicebob/miniredis", []string{"internal/redisstore"}},
	{"github.com/gin-", handlers},
	{"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic", handlers},
	{"github.com/alecthomas/kong", []string{"internal/config", "cmd/outlook-monitor", "cmd/graphsim"}},
	{"github.com/prometheus/", []string{"internal/telemetry"}},
	{"golang.org/x/crypto/acme", []string{"internal/front"}},
	{"golang.ngrok.com/", []string{"internal/tunnel"}},
	{"testing", []string{"internal/redistest"}},
}

var handlers = []string{"internal/api", "internal/ui", "internal/webhook", "cmd/outlook-monitor"}

// heavy is never imported: it takes minutes to compile, and its parts do.
const heavy = "github.com/microsoftgraph/msgraph-sdk-go"

// layout is what lies at the top, besides names that begin with a dot.
var layout = []string{"Dockerfile", "README.md", "cmd", "deploy", "go.mod", "go.sum", "internal", "scripts"}

// built is what scripts/check and scripts/run leave at the top; git ignores it.
const built = "bin"

// mayImport says whether a room may import another.
func mayImport(room, other string) bool { return slices.Contains(rooms[room], other) }
