package collector_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// top is the root of the repository.
const top = "../../.."

// link is a parent and a child span. The parent of a root span is "".
type link struct{ outer, inner string }

// documented parses the diagram of a trace in deploy/METRICS.md. Each line has a span name,
// two spaces and a description. Children are indented further than their parent.
func documented(t *testing.T) map[link]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "deploy/METRICS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, traces, _ := strings.Cut(string(text), "\n## Traces\n")
	type line struct {
		column int
		name   string
	}
	var above []line
	links := map[link]bool{}
	for row := range strings.Lines(traces) {
		parts := diagramLine.FindStringSubmatch(row)
		if parts == nil {
			continue
		}
		now := line{len([]rune(parts[1])), parts[2]}
		for len(above) > 0 && above[len(above)-1].column >= now.column {
			above = above[:len(above)-1]
		}
		outer := ""
		if len(above) > 0 {
			outer = above[len(above)-1].name
		}
		links[link{outer, now.name}] = true
		above = append(above, now)
	}
	if len(links) < 2 {
		t.Fatalf("links = %v, want a diagram in deploy/METRICS.md", links)
	}
	return links
}

var diagramLine = regexp.MustCompile(`^(    [ │├└─]*)([a-zA-Z]+(?: [a-z]+)*)  `)

// diagramName returns the name of a span in the diagram.
func diagramName(name string) string {
	switch verb, host, _ := strings.Cut(name, " "); {
	case verb == "graph":
		return "graph read" // for all requests to Graph
	case verb == "POST" && host == "127.0.0.1":
		return "POST mediator"
	}
	return name
}

// Patterns of attribute values.
const (
	uuid   = `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`
	number = `\d+`
	word   = `[a-z]+`
)

// allowedAttributes maps all attributes that spans may have to patterns of their values.
var allowedAttributes = map[string]string{
	"outlook_monitor.mailbox":            uuid, // the object id
	"outlook_monitor.source":             word,
	"outlook_monitor.sequence":           number,
	"outlook_monitor.away":               `true|false`,
	"outlook_monitor.outcome":            word,
	"outlook_monitor.attempt":            number,
	"outlook_monitor.items":              number,
	"outlook_monitor.hints":              number,
	"outlook_monitor.mailboxes_in_batch": number,
	"graph.client_request_id":            uuid,
	"graph.request_id":                   uuid,
	"http.request.method":                `POST`,
	"http.response.status_code":          `\d{3}`,
	"network.protocol.version":           `1\.1`,
	"server.address":                     `127\.0\.0\.1`,
	"server.port":                        number,
	"url.full":                           `http://127\.0\.0\.1:\d+/api/setstatus`,
	"error.type":                         `\*?[a-zA-Z.]+`,
}

// texts are the messages in the demo.
var texts = []string{"I am back on Monday", "Gone fishing", "Call Bob & Chris", "At the dentist", "Gone sailing"}

// secrets are parts of texts that no span may contain: messages, addresses, the client
// secret and tokens of the local Graph, and names of headers and fields with secrets.
var secrets = slices.Concat(texts, []string{"@", "contoso", "graphsim-secret", "eyJ", "Bearer", "Authorization", "clientState"})
