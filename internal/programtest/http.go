package programtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"outlook-monitor/internal/must"
)

// Send sends a request and returns the answer with its whole body. Without an answer the
// status is 0 and the body is the error.
func Send(client *http.Client, request *http.Request) (status int, body string) {
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// Get returns the answer to a GET, or status 0 and the error.
func Get(t testing.TB, client *http.Client, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	must.NoError(t, err)
	return Send(client, request)
}

// Metric adds up a metric over its labels in an answer of /metrics. The name may include
// the labels.
func Metric(answer, name string) (sum float64) {
	for line := range strings.Lines(answer) {
		if rest, found := strings.CutPrefix(line, name); found && strings.IndexAny(rest, " {") == 0 {
			value, _ := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
			sum += value
		}
	}
	return sum
}

// Serve answers requests on a port of the loopback until the test ends, and returns the base URL.
func Serve(t testing.TB, handler http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}
