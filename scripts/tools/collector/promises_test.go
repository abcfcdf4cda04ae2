package collector_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// top is the top of the repository.
const top = "../../.."

// link is what a span is part of; the outer one of a whole trace is empty.
type link struct{ outer, inner string }

// promised reads the drawing of a trace in deploy/METRICS.md: names, two spaces,
// what they tell; further to the right is what is part of the one above.
func promised(t *testing.T) map[link]bool {
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
		parts := drawn.FindStringSubmatch(row)
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
		t.Fatalf("links = %v, want a drawing in deploy/METRICS.md", links)
	}
	return links
}

var drawn = regexp.MustCompile(`^(    [ │├└─]*)([a-zA-Z]+(?: [a-z]+)*)  `)

// nameInDrawing is what the drawing calls a span.
func nameInDrawing(name string) string {
	switch verb, host, _ := strings.Cut(name, " "); {
	case verb == "graph":
		return "graph read" // whatever Graph was asked
	case verb == "POST" && host == "127.0.0.1":
		return "POST mediator"
	}
	return name
}

// The values that spans may tell.
const (
	uuid   = `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`
	number = `\d+`
	word   = `[a-z]+`
)

// told are all attributes that there may be, and what their values look like.
var told = map[string]string{
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

// texts are what is spoken in the demo.
var texts = []string{"I am back on Monday", "Gone fishing", "Call Bob & Chris", "At the dentist", "Gone sailing"}

// secrets are parts of what no span may hold: an address, the local Graph's
// client secret, its tokens, and the names of headers and fields with secrets.
var secrets = slices.Concat(texts, []string{"@", "contoso", "graphsim-secret", "eyJ", "Bearer", "Authorization", "clientState"})
